"""Show the progress of runs: a live table on a terminal, plain lines in a pipe."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cluster.screen import Screen
from runners.core.events import EpochDone, Event, Retried, Started
from runners.core.record import EpochRow, RunRecord
from runners.core.spec import RunSpec
from runners.core.text import printable

LARGEST_TABLE = 24  # rows; for a larger study it shows only the runs in progress and those that ended last


@dataclass
class _Row:
    spec: RunSpec
    state: str = "waiting"
    epoch: EpochRow | None = None
    started: float | None = None
    ended: float | None = None

    @property
    def epochs_left(self) -> int:
        if self.ended is not None:
            return 0
        return self.spec.epochs - (self.epoch.epoch if self.epoch else 0)

    def seconds_per_epoch(self, now: float) -> float | None:
        if self.started is None or self.epoch is None:
            return None
        return ((self.ended or now) - self.started) / self.epoch.epoch


@dataclass
class Progress:
    """Shows the progress of runs, of which `at_once` run in parallel. Use it as a context manager."""

    console: Console
    specs: Sequence[RunSpec]
    at_once: int = 1
    _rows: dict[str, _Row] = field(init=False)
    _live: Live | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._rows = {spec.run_id: _Row(spec) for spec in self.specs}

    def __enter__(self) -> Self:
        if self.console.is_terminal and self.specs:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def report(self, event: Event) -> None:
        """Show an event of a run."""
        row = self._rows[event.run_id]
        if row.ended is not None:
            return
        match event:
            case Started(node=node):
                row.state, row.started, row.epoch = f"on {node}", time.monotonic(), None
            case EpochDone(row=epoch):
                self._epoch_done(row, epoch)
            case Retried(attempt=attempt, reason=reason):
                row.state, row.started, row.epoch = f"waiting, attempt {attempt}", None, None
                self._print(f"{event.run_id}  its process died; the run starts again, attempt {attempt}: {reason}")

    def ended(self, record: RunRecord) -> None:
        """Show how a run ended, after those of its epochs whose events have not arrived yet."""
        row = self._rows[record.run_id]
        for epoch in record.epochs[row.epoch.epoch if row.epoch else 0 :]:
            self._epoch_done(row, epoch)
        row.state, row.ended = record.status, time.monotonic()
        if record.status != "completed":
            self._print(f"{record.run_id}  {record.status} (seed {record.spec.seed}): {record.error}")

    def seconds_left(self) -> float | None:
        """Return an estimate from the epochs so far, or None before the first epoch ends."""
        now = time.monotonic()
        paces = [pace for row in self._rows.values() if (pace := row.seconds_per_epoch(now)) is not None]
        if not paces:
            return None
        return sum(row.epochs_left for row in self._rows.values()) * sum(paces) / len(paces) / self.at_once

    def _epoch_done(self, row: _Row, epoch: EpochRow) -> None:
        row.epoch = epoch
        if self._live is None:
            self._print(f"{row.spec.run_id}  {_describe(epoch, row.spec.epochs)}{self._left_in_brackets()}")

    def _print(self, line: str) -> None:
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _left_in_brackets(self) -> str:
        left = self.seconds_left()
        return "" if not left else f"  (about {duration(left)} left)"

    def _table(self) -> Table:
        rows = list(self._rows.values())
        done = sum(row.ended is not None for row in rows)
        table = Table(title=f"{done} of {len(rows)} runs done{self._left_in_brackets()}", title_justify="left")
        for name in ("run", "state", "epoch", "test loss", "accuracy", "left"):
            table.add_column(name, justify="left" if name in ("run", "state") else "right")
        for row in self._shown(rows):
            table.add_row(*(Text(printable(cell)) for cell in _cells(row)))  # a node's name must not be read as markup
        return table

    def _shown(self, rows: list[_Row]) -> list[_Row]:
        if len(rows) <= LARGEST_TABLE:
            return rows
        running = [row for row in rows if row.started is not None and row.ended is None][:LARGEST_TABLE]
        latest = sorted((row for row in rows if row.ended is not None), key=lambda row: row.ended or 0)
        room = max(LARGEST_TABLE - len(running), 0)
        return latest[len(latest) - min(room, len(latest)) :] + running


def _cells(row: _Row) -> tuple[str, ...]:
    epoch, pace = row.epoch, row.seconds_per_epoch(time.monotonic())
    return (
        row.spec.run_id,
        row.state,
        f"{epoch.epoch if epoch else 0}/{row.spec.epochs}",
        f"{epoch.test_loss:.4f}" if epoch else "",
        f"{epoch.test_accuracy:.4f}" if epoch else "",
        duration(pace * row.epochs_left) if pace and row.epochs_left else "",
    )


def _describe(epoch: EpochRow, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}  train loss {epoch.train_loss:.4f}  "
        f"test loss {epoch.test_loss:.4f}  test accuracy {epoch.test_accuracy:.4f}  {epoch.train_seconds:.2f} s"
    )


def screen(console: Console) -> Screen:
    """Return a screen that shows a study's messages and runs on the console."""
    return Screen(console.print, partial(Progress, console))


def duration(seconds: float) -> str:
    """Format seconds in two units at most: 40 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
