"""How the user learns what happens in a study."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from runners.core.events import Event
from runners.core.record import RunRecord
from runners.core.spec import RunSpec


class Progress(Protocol):
    """Shows runs as they go on."""

    def report(self, event: Event) -> None:
        """Show what has happened in a run."""

    def ended(self, record: RunRecord) -> None:
        """Show that a run has ended and is recorded."""


@dataclass(frozen=True)
class Screen:
    """Prints lines, and shows the progress of runs."""

    tell: Callable[[str], None]  # prints one line
    # Of the runs to do, and how many go on at a time.
    show_progress: Callable[[Sequence[RunSpec], int], AbstractContextManager[Progress]]
