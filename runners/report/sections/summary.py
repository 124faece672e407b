"""Means and standard deviations of every contender, on each track."""

from typing import Any

import pandas as pd

from lenet.data import TEST_IMAGES
from runners.report.columns import Column, Row, Table, tabulate
from runners.report.inputs import Inputs
from runners.report.metrics import METRICS, Metric
from runners.report.section import Section
from runners.report.statistics.images import sampling_error
from runners.report.statistics.means import mean_interval
from runners.report.tables import by_contender, completed, counts_of_others
from runners.report.wording import mean_and_sd, number, runs_and_others

COLUMNS = [
    *("contender", "track", "n", "failed", "diverged", "oom"),
    *(f"{metric.name}_{end}" for metric in METRICS for end in ("mean", "sd", "ci95_low", "ci95_high")),
    "test_accuracy_sampling_error",
]
NOTES = (
    "**Standard deviation** (SD): how far single runs lie from their mean, not how sure the mean is."
    " **Test-sampling error**: the standard error that any accuracy has from the choice of the test images.",
    "**Losses** are means over images (cross-entropy, in nats), after the last epoch; train loss is over the"
    " images as they were seen during it. **Accuracy** is the fraction of the test images whose class is"
    " predicted right.",
    "**Training** excludes the first step, which is timed as compile, and evaluation. **Total** is from the"
    " process's start to its result.",
)


def section(inputs: Inputs) -> Section:
    """Show the means; the terminal shows those of one contender alone, and the answer's table otherwise."""
    summary = summary_table(inputs.runs)
    caption = "Mean ± standard deviation over the runs that completed, by contender and track"
    table = tabulate(caption, READING, summary, "summary")
    data, screen = {"summary": summary}, [_turned(table)] if len(inputs.plan.contenders) == 1 else []
    return Section("summary", "Summary", tables=[table], notes=NOTES, data=data, screen=screen)


def summary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row a contender and track: mean, SD and t interval over its completed runs, and counts of the others.

    `test_accuracy_sampling_error` is the standard error from the choice of test images, which no number of runs
    lessens.
    """
    rows = []
    for contender, track, group in by_contender(runs):
        measured = completed(group).assign(seconds_per_epoch=lambda own: own["train_seconds"] / own["epochs"])
        identity = {"contender": contender, "track": track}
        row: dict[str, Any] = {**identity, "n": len(measured), **counts_of_others(group)}
        for metric in METRICS:
            row |= _figures(metric.name, measured[metric.name].astype(float).dropna())
        if len(measured):
            row["test_accuracy_sampling_error"] = sampling_error(row["test_accuracy_mean"], TEST_IMAGES)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"test_accuracy_sampling_error": float})


def _figures(name: str, values: pd.Series) -> dict[str, float | None]:
    low, high = mean_interval(values.to_numpy()) or (None, None)
    ends = {f"{name}_ci95_low": low, f"{name}_ci95_high": high}
    return {f"{name}_mean": values.mean(), f"{name}_sd": values.std(), **ends}


def _turned(table: Table) -> Table:
    """Turn rows into columns: a terminal is narrower than a page."""
    (_, *names), *rows = zip(*[table.heading, *table.rows], strict=True)
    return Table(table.caption, ("mean ± SD over runs", *names), rows)


def _mean_and_sd(metric: Metric) -> Column:
    def cell(row: Row) -> str:
        return mean_and_sd(row[f"{metric.name}_mean"], row[f"{metric.name}_sd"], metric.decimals)

    return Column(metric.heading, cell)


ACCURACY, *OTHERS = map(_mean_and_sd, METRICS)
READING = (
    Column("contender and track", lambda row: f"{row['contender']}, {row['track']}", is_number=False),
    Column("runs", runs_and_others),
    ACCURACY,
    Column("its test-sampling error", lambda row: number(row["test_accuracy_sampling_error"], 4)),
    *OTHERS,
)
