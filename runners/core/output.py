"""Output that never stops the program: text that cannot be written is lost, and nothing else happens."""

import io
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def unfailing(descriptor: int, encoding: str | None) -> TextIO:
    """Return a text stream that raises no error; characters that the encoding lacks are replaced."""
    raw = _Unfailing(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding or "utf-8", errors="replace", line_buffering=True)


class _Unfailing(io.FileIO):
    """Every write reports success. The first failed one prints a warning, unless the reader closed the pipe."""

    _warned = False

    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            if not self._warned and self.fileno() != 2:
                self._warned = True
                _warn(f"warning: output cannot be written ({error.strerror})\n")
        return memoryview(data).nbytes


def _warn(sentence: str) -> None:
    try:
        os.write(2, sentence.encode())
    except OSError:
        return
