"""Records as pandas tables; users' own scripts rely on the columns."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runners.core.record import Clock, RunRecord
from runners.core.store import write_atomically
from runners.report.dictionary import columns_of


def runs_table(records: Sequence[RunRecord], target_accuracy: float | None = None) -> pd.DataFrame:
    """Return one row a run, failed ones included; the losses and accuracies are those after its last epoch.

    `seconds_to_accuracy` is empty where no target is declared, and in a run that never reached it.
    """
    rows = [
        {**_run_row(record), "seconds_to_accuracy": seconds_to_accuracy(record, target_accuracy)} for record in records
    ]
    numbers = ("seconds_to_accuracy", "communication_share", "epochs_with_own_order")
    return pd.DataFrame(rows, columns=columns_of("runs")).astype(dict.fromkeys(numbers, float))


def seconds_to_accuracy(record: RunRecord, target: float | None) -> float | None:
    """Return the training seconds up to the first epoch whose test accuracy is at least the target, that one included.

    Like `train_seconds` they leave out the run's first step, evaluations, checkpoints, and all that comes before
    training. None if no epoch reached the target.
    """
    reached = [row.epoch for row in record.epochs if target is not None and row.test_accuracy >= target]
    return sum(row.train_seconds for row in record.epochs if row.epoch <= reached[0]) if reached else None


def epochs_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return one row an epoch, of all records."""
    rows = [{**identity(record), **row.model_dump()} for record in records for row in record.epochs]
    return pd.DataFrame(rows, columns=columns_of("epochs"))


def completed(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that completed: no other run is in any mean, interval, test or plot."""
    return runs[runs["status"] == "completed"]


def by_contender(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield contender, track and rows of each group, in the table's order."""
    for (contender, track), group in table.groupby(["contender", "track"], sort=False):
        yield str(contender), str(track), group


def counts_of_others(runs: pd.DataFrame) -> dict[str, int]:
    """Count the runs that did not complete, by status."""
    return {status: int((runs["status"] == status).sum()) for status in ("failed", "diverged", "oom")}


def write(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Write `table` as CSV and Parquet."""
    write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode())
    write_atomically(folder / f"{name}.parquet", table.to_parquet(index=False))


def identity(record: RunRecord) -> dict[str, Any]:
    """Return the columns that name a run in every table."""
    spec = record.spec
    return {
        "run_id": record.run_id,
        "contender": str(spec.contender),
        "track": spec.track,
        "seed": spec.seed,
    }


def _run_row(record: RunRecord) -> dict[str, Any]:
    spec, last = record.spec, record.epochs[-1] if record.epochs else None
    clock = record.clock.model_dump() if record.clock else {}
    of_record = ("status", "error", "attempts", "node", "init_sha256", "order_sha256", "communication_share")
    return {
        **identity(record),
        **{name: getattr(spec.contender, name) for name in ("framework", "strategy", "replicas")},
        **{name: getattr(record, name) for name in of_record},
        "epochs": len(record.epochs),
        "batch_size": spec.batch_size,
        **{name: getattr(last, name, None) for name in ("train_loss", "test_loss", "test_accuracy")},
        "best_test_accuracy": max((row.test_accuracy for row in record.epochs), default=None),
        **{name: clock.get(name) for name in columns_of("runs") if name in Clock.model_fields},
        "images_per_second": _images_per_second(record),
        "epochs_with_own_order": len(set(record.epoch_orders_sha256)) or None,  # unknown if none was recorded
    }


def _images_per_second(record: RunRecord) -> float | None:
    """Training images over training seconds, both without the first step, which is timed as compile."""
    if record.clock is None or record.clock.train_seconds == 0:
        return None
    images = len(record.epochs) * record.spec.limit_train - record.spec.batch_size
    return images / record.clock.train_seconds if images > 0 else None
