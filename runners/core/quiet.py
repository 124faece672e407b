"""Hide what C++ libraries write to file descriptor 2; Python's own stderr stays on the screen."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from runners.core.output import unfailing


@contextmanager
def native_stderr_hidden() -> Iterator[None]:
    """Within the context, file descriptor 2 is a temporary file and `sys.stderr` still writes to the screen.

    TensorFlow logs before it applies its log level, so no environment variable suppresses those lines.
    """
    sys.stderr.flush()
    python_stderr = sys.stderr
    screen = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        sys.stderr = unfailing(screen, python_stderr.encoding)
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stderr = python_stderr
            os.dup2(screen, 2)
            os.close(screen)
