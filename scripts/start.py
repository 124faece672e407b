"""Prepare a script, so that neither interruptions nor output that cannot be written end it with a traceback.

Ctrl-C and SIGTERM have the same effect, at any moment and in any number.
"""

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType

from runners.core.errors import GOES_ON
from runners.core.output import unfailing

INTERRUPTED = 130  # the exit code
INTERRUPTION = f"interrupted; {GOES_ON}"
# For this long after an interruption further ones are ignored, so that cleanup can finish; a later one ends cleanup.
CLEANUP_SECONDS = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_interrupted_at = -CLEANUP_SECONDS
_begun = False


def begin() -> None:
    """Take over signals and output streams; call once, at the top of a script."""
    global _begun  # noqa: PLW0603
    _begun = True
    for descriptor in (0, 1, 2):  # else a file opened later would get the number of a closed stream
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = unfailing(1, getattr(sys.stdout, "encoding", None))
    sys.stderr = unfailing(2, getattr(sys.stderr, "encoding", None))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it prints where it keeps its fonts
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    sys.excepthook, sys.unraisablehook = _excepthook, _unraisablehook


def leave(code: object) -> None:
    """Ignore signals while Python shuts down; call last, with the exit code.

    After an interruption, skip that shutdown and exit at once: interrupted threads of Ray sometimes abort it.
    """
    if not _begun:  # a test called this, and its process continues
        return
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _interrupted_at  # noqa: PLW0603 -- a signal handler has nowhere else to keep it
    now = time.monotonic()
    if now - _interrupted_at >= CLEANUP_SECONDS:
        _interrupted_at = now
        raise KeyboardInterrupt


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Handle an interruption while modules are loaded, which no other code catches."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {INTERRUPTION}", file=sys.stderr)
    leave(INTERRUPTED)


def _unraisablehook(lost: "sys.UnraisableHookArgs") -> None:
    """Repeat an interruption that came where Python can raise nothing, for example while it deletes an object."""
    global _interrupted_at  # noqa: PLW0603
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    _interrupted_at = -CLEANUP_SECONDS
    # From another thread a moment later, because nothing can be raised in this function either.
    main = threading.main_thread().ident or 0
    threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGINT]).start()
