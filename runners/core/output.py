"""Output that never ends what is being done: what cannot be written is lost, and nothing else."""

import io
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def unfailing(descriptor: int, encoding: str | None) -> TextIO:
    """A text stream into the descriptor that raises nothing; characters that the encoding lacks are replaced."""
    raw = _Unfailing(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding or "utf-8", errors="replace", line_buffering=True)


class _Unfailing(io.FileIO):
    """Writes that say they have succeeded. Unless whoever read the output has left, a lost one is told once."""

    _told = False

    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            if not self._told and self.fileno() != 2:
                self._told = True
                _tell(f"warning: output cannot be written ({error.strerror})\n")
        return memoryview(data).nbytes


def _tell(sentence: str) -> None:
    try:
        os.write(2, sentence.encode())
    except OSError:
        return
