"""What a script does first, so that neither interruptions nor lost output end it in a traceback.

Ctrl-C and SIGTERM are the same here, at any moment and however many come.
"""

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType

from runners.core.output import unfailing

INTERRUPTED = 130  # the exit code
INTERRUPTION = "interrupted; what is recorded stays, and the same command goes on from there"
# Cleaning up has this long in peace; if it hangs, a later Ctrl-C ends it too.
PEACE_SECONDS = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_interrupted_at = -PEACE_SECONDS
_begun = False


def begin() -> None:
    """Call once, at the top of a script."""
    global _begun  # noqa: PLW0603
    _begun = True
    for descriptor in (0, 1, 2):  # a file that is opened later must not take the place of one that is closed
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = unfailing(1, getattr(sys.stdout, "encoding", None))
    sys.stderr = unfailing(2, getattr(sys.stderr, "encoding", None))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it tells where it keeps its fonts
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    sys.excepthook, sys.unraisablehook = _excepthook, _unraisablehook


def leave(code: object) -> None:
    """Call last, with the exit code: from here on only Python's own end is to come, and signals would but spoil it.

    After an interruption that end is left out: threads of Ray, torn from their work, now and then abort it.
    """
    if not _begun:  # called by tests, whose process goes on
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
    if now - _interrupted_at >= PEACE_SECONDS:
        _interrupted_at = now
        raise KeyboardInterrupt


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An interruption while modules are loaded reaches nobody else."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {INTERRUPTION}", file=sys.stderr)
    leave(INTERRUPTED)


def _unraisablehook(lost: "sys.UnraisableHookArgs") -> None:
    """An interruption that came where nothing can be raised, as while an object is let go, comes again."""
    global _interrupted_at  # noqa: PLW0603
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    _interrupted_at = -PEACE_SECONDS
    # From another thread and a moment later, when this function, where nothing can be raised either, is over.
    main = threading.main_thread().ident or 0
    threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGINT]).start()
