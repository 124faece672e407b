"""Records as pandas tables, in the columns that users' own scripts rely on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lenet.data import TEST_IMAGES
from runners.core.record import Clock, RunRecord
from runners.core.store import write_atomically
from runners.report.statistics import mean_interval, sampling_error
from runners.report.wording import MEANS

RUN_COLUMNS = [
    "run_id",
    "contender",
    "framework",
    "strategy",
    "replicas",
    "track",
    "seed",
    "status",
    "error",
    "epochs",
    "batch_size",
    "train_loss",
    "test_loss",
    "test_accuracy",
    "best_test_accuracy",
    "startup_seconds",
    "import_seconds",
    "data_seconds",
    "compile_seconds",
    "train_seconds",
    "eval_seconds",
    "total_seconds",
    "images_per_second",
    "attempts",
    "node",
    "init_sha256",
    "order_sha256",
    "seconds_to_accuracy",
    "communication_share",
    "epochs_with_own_order",
]
EPOCH_COLUMNS = [
    "run_id",
    "contender",
    "track",
    "seed",
    "epoch",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "learning_rate",
    "train_seconds",
    "eval_seconds",
]
SUMMARISED = [column for _, column, _ in MEANS]
SUMMARY_COLUMNS = [
    *("contender", "track", "n", "failed", "diverged", "oom"),
    *(f"{column}_{figure}" for column in SUMMARISED for figure in ("mean", "sd", "ci95_low", "ci95_high")),
    "test_accuracy_sampling_error",
]


def runs_table(records: Sequence[RunRecord], target_accuracy: float | None = None) -> pd.DataFrame:
    """One row a run, failed ones included; the losses and accuracies are those after its last epoch.

    `seconds_to_accuracy` is empty where no target is declared, and in a run that never reached it.
    """
    rows = [
        {**_run_row(record), "seconds_to_accuracy": seconds_to_accuracy(record, target_accuracy)} for record in records
    ]
    numbers = ("seconds_to_accuracy", "communication_share", "epochs_with_own_order")
    return pd.DataFrame(rows, columns=RUN_COLUMNS).astype(dict.fromkeys(numbers, float))


def seconds_to_accuracy(record: RunRecord, target: float | None) -> float | None:
    """Training seconds of the epochs up to the first after which the test accuracy is at least the target.

    They are counted as in `train_seconds`: without the run's first step, evaluations, checkpoints, and all that comes
    before training. None if no epoch reached it.
    """
    reached = [row.epoch for row in record.epochs if target is not None and row.test_accuracy >= target]
    return sum(row.train_seconds for row in record.epochs if row.epoch <= reached[0]) if reached else None


def epochs_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row an epoch of every run that was described."""
    rows = [{**_identity(record), **row.model_dump()} for record in records for row in record.epochs]
    return pd.DataFrame(rows, columns=EPOCH_COLUMNS)


def clocks_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """The whole split clock of each completed run, in seconds."""
    rows = [{**_identity(r), **r.clock.model_dump()} for r in records if r.clock and r.status == "completed"]
    return pd.DataFrame(rows, columns=["run_id", "contender", "track", "seed", *Clock.model_fields])


def summary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a contender and track: mean, SD and t interval over its completed runs, the others counted beside.

    `test_accuracy_sampling_error` is what the choice of the test images leaves open, which no number of runs lessens.
    """
    rows = []
    for (contender, track), group in runs.groupby(["contender", "track"], sort=False):
        completed = group[group["status"] == "completed"]
        identity = {"contender": contender, "track": track}
        row: dict[str, Any] = {**identity, "n": len(completed), **counts_of_others(group)}
        measured = completed.assign(seconds_per_epoch=completed["train_seconds"] / completed["epochs"])
        for column in SUMMARISED:
            values = measured[column].astype(float).dropna()
            interval = mean_interval(values.to_numpy()) or (None, None)
            row |= {f"{column}_mean": values.mean(), f"{column}_sd": values.std()}
            row |= {f"{column}_ci95_low": interval[0], f"{column}_ci95_high": interval[1]}
        if len(completed):
            row["test_accuracy_sampling_error"] = sampling_error(row["test_accuracy_mean"], TEST_IMAGES)
        rows.append(row)
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS).astype({"test_accuracy_sampling_error": float})


def counts_of_others(runs: pd.DataFrame) -> dict[str, int]:
    """How many of the runs ended in each other way than completed."""
    return {status: int((runs["status"] == status).sum()) for status in ("failed", "diverged", "oom")}


def write(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Write `table` as CSV and Parquet."""
    write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode())
    write_atomically(folder / f"{name}.parquet", table.to_parquet(index=False))


def _identity(record: RunRecord) -> dict[str, Any]:
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
    return {
        **_identity(record),
        "framework": spec.contender.framework,
        "strategy": spec.contender.strategy,
        "replicas": spec.contender.replicas,
        "status": record.status,
        "error": record.error,
        "epochs": len(record.epochs),
        "batch_size": spec.batch_size,
        "train_loss": last.train_loss if last else None,
        "test_loss": last.test_loss if last else None,
        "test_accuracy": last.test_accuracy if last else None,
        "best_test_accuracy": max((row.test_accuracy for row in record.epochs), default=None),
        **{name: clock.get(name) for name in RUN_COLUMNS if name in Clock.model_fields},
        "images_per_second": _images_per_second(record),
        "attempts": record.attempts,
        "node": record.node,
        "init_sha256": record.init_sha256,
        "order_sha256": record.order_sha256,
        "communication_share": record.communication_share,
        "epochs_with_own_order": epochs_with_own_order(record),
    }


def epochs_with_own_order(record: RunRecord) -> int | None:
    """In how many orders the run saw the images over its epochs; None if that is not known."""
    return len(set(record.epoch_orders_sha256)) or None


def _images_per_second(record: RunRecord) -> float | None:
    """Training images over training seconds, both without the first step, which the compile clock has."""
    if record.clock is None or record.clock.train_seconds == 0:
        return None
    images = len(record.epochs) * record.spec.limit_train - record.spec.batch_size
    return images / record.clock.train_seconds if images > 0 else None
