"""A temporary folder that ends with its process, however that ends."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LAST_WORDS = "last_words"
# The shell waits until its process says that it is done, or is gone: then the pipe between them closes by itself. What
# the process has started with the folder as an argument ends too. Others may write into the folder for a moment more,
# so removing is tried several times.
_KEEPER = """
read -r word
[ "$word" != done ] || exit 0
[ ! -e "$1/last_words" ] || cat -- "$1/last_words" >&2
exec 2>/dev/null
for path in $(grep -lF -- "$1" /proc/[0-9]*/cmdline); do
    pid=${path#/proc/}
    [ "${pid%/cmdline}" = $$ ] || kill -9 "${pid%/cmdline}"
done
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1"; [ -e "$1" ] || exit 0; sleep 0.5; done
"""
# A process of Ray that ends kills its children first. So the keeper's parent is a shell that ends at once.
_ORPHANED = 'exec 3<&0; /bin/sh -c "$1" keeper "$2" <&3 3<&- &'


@contextmanager
def scratch(inside: Path | None = None) -> Iterator[Path]:
    """A new folder, in `inside` or else in the temporary folder; it is removed even if this process is killed.

    What its file LAST_WORDS then holds, if there is one, goes to standard error. Needs a POSIX shell. Raises OSError if
    no folder can be made.
    """
    folder = tempfile.mkdtemp(prefix="lf-", dir=inside)
    # In a session of its own: Ctrl-C and the end of a terminal are for this process, and the keeper outlives it.
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _ORPHANED, "sh", _KEEPER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        keeper.wait()
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(BrokenPipeError):  # somebody has killed the keeper
            keeper.communicate("done\n")
