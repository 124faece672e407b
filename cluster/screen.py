"""Interface of what shows a study's messages and progress to the user."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from runners.core.events import Event
from runners.core.record import RunRecord
from runners.core.spec import RunSpec


class Progress(Protocol):
    """Shows the progress of runs."""

    def report(self, event: Event) -> None:
        """Show an event of a run."""

    def ended(self, record: RunRecord) -> None:
        """Show that a run has ended and is recorded."""


@dataclass(frozen=True)
class Screen:
    """Prints lines, and shows the progress of runs."""

    say: Callable[[str], None]  # prints one line
    # Takes the runs to do, and how many of them run at a time.
    show_progress: Callable[[Sequence[RunSpec], int], AbstractContextManager[Progress]]
