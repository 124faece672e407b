"""A temporary folder that is removed when its process ends, however it ends."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LAST_WORDS = "last_words"
# The shell waits until its process writes `done`, or until the pipe closes: the process is gone, or an exception ended
# the context. Then the shell kills processes that have the folder as TMPDIR or a file open in it, since Ray's processes
# overwrite their command lines and parts of their environment. It tries several times to remove the folder, since they
# may write for a moment longer.
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
# A process of Ray kills its children when it ends. So the keeper's parent is a shell that ends at once.
_ORPHANED = 'exec 3<&0; /bin/sh -c "$1" keeper "$2" "$3" <&3 3<&- &'


@contextmanager
def scratch(inside: Path | None = None) -> Iterator[Path]:
    """Yield a new folder, in `inside` or in the temporary folder, that is removed even if this process is killed.

    If it is killed, the content of the file LAST_WORDS, if any, goes to standard error. Other processes that use the
    folder are killed then, and after an exception. Needs a POSIX shell. Raises OSError if no folder can be made.
    """
    folder = tempfile.mkdtemp(prefix="lf-", dir=inside)
    # In its own session, so that Ctrl-C and the end of a terminal do not reach the keeper, which outlives this process.
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
        with suppress(BrokenPipeError):  # the keeper was killed
            keeper.communicate(word)
