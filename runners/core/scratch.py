"""A temporary folder that ends with its process, however that ends."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LAST_WORDS = "last_words"
# The shell waits until its process says that it is done, or the pipe between them closes: by itself if the process is
# gone, or after an exception. Then what the process has started with the folder as TMPDIR, or with a file open in it,
# ends too: Ray's processes write other names over their command lines, and over some of their environment. Removing is
# tried several times, since they may write for a moment more.
_KEEPER = """
read -r word
[ "$word" != done ] || exit 0
[ ! -e "$1/last_words" ] || cat -- "$1/last_words" >&2
exec 2>/dev/null
for process in /proc/[0-9]*; do
    if grep -qF -- "TMPDIR=$1" "$process/environ" || ls -l "$process/fd" | grep -qF -- "$1/"; then
        case ${process#/proc/} in $$ | "$2") ;; *) kill -9 "${process#/proc/}" ;; esac
    fi
done
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1"; [ -e "$1" ] || exit 0; sleep 0.5; done
"""
# A process of Ray that ends kills its children first. So the keeper's parent is a shell that ends at once.
_ORPHANED = 'exec 3<&0; /bin/sh -c "$1" keeper "$2" "$3" <&3 3<&- &'


@contextmanager
def scratch(inside: Path | None = None) -> Iterator[Path]:
    """A new folder, in `inside` or else in the temporary folder; it is removed even if this process is killed.

    What its file LAST_WORDS then holds, if there is one, goes to standard error. After an exception too, other
    processes that use the folder end with it. Needs a POSIX shell. Raises OSError if no folder can be made.
    """
    folder = tempfile.mkdtemp(prefix="lf-", dir=inside)
    # In a session of its own: Ctrl-C and the end of a terminal are for this process, and the keeper outlives it.
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _ORPHANED, "sh", _KEEPER, folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    word = ""
    try:
        keeper.wait()
        yield Path(folder)
        word = "done\n"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(BrokenPipeError):  # somebody has killed the keeper
            keeper.communicate(word)
