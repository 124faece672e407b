"""How numbers and folders are written for people: on the screen and on the page alike."""

import shlex
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from runners.core.environment import PROJECT
from runners.core.spec import Vary
from runners.report.metrics import BY_NAME, Metric

ABSENT = "-"
# What the runs of a contender differ in, and what is then the same in all of them.
SOURCES: dict[Vary, str] = {
    "all": "weights and order",
    "init": "initial weights only",
    "order": "batch order only",
    "nothing": "nothing (what remains is nondeterminism)",
}
HELD_FIXED: dict[Vary, str] = {
    "init": "batch order",
    "order": "initial weights",
    "nothing": "initial weights and batch order",
}
EXACTLY_ZERO = "An SD of exactly 0 is no rounding: in that metric every run came out the same to the last bit."
# Heading, column of the summary table, decimals.
MEANS = (
    ("test accuracy", "test_accuracy", 4),
    ("test loss", "test_loss", 4),
    ("train loss", "train_loss", 4),
    ("seconds per epoch", "seconds_per_epoch", 2),
    ("training seconds", "train_seconds", 1),
    ("total seconds", "total_seconds", 1),
    ("images per second", "images_per_second", 0),
)


def summary_grid(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    """The summary for reading: a heading row, then a row a quantity and a column a contender and track."""
    groups = summary.to_dict("records")
    heading = ("mean ± SD over runs", *(f"{group['contender']}, {group['track']}" for group in groups))
    runs = ("runs", *(_runs(group) for group in groups))
    rows = [(label, *(_mean_and_sd(group, column, digits) for group in groups)) for label, column, digits in MEANS]
    errors = (number(group["test_accuracy_sampling_error"], 4) for group in groups)
    accuracy, *others = rows
    return [heading, runs, accuracy, ("its test-sampling error", *errors), *others]


def summary_rows(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    """The same turned over, for a page that sorts: a row a contender and track."""
    heading, *rows = zip(*summary_grid(summary), strict=True)
    return [("contender and track", *heading[1:]), *rows]


def amount(value: float | None, metric: Metric) -> str:
    """A difference of the comparisons table with its sign and unit: `+0.15 points`, `-9.2 %`; a dash if absent."""
    return ABSENT if pd.isna(value) else f"{_signed(metric.shown(float(value)), metric)} {metric.unit}"


def size(value: float, metric: Metric) -> str:
    """How large such a difference is, where words say which way it goes: `0.15 points`, `9.2 %`."""
    return f"{abs(metric.shown(value)):.{metric.digits}f} {metric.unit}"


def interval(low: float | None, high: float | None, metric: Metric) -> str:
    """An interval of such differences, in the unit that stands beside it: `[+0.01, +0.29]`; a dash if absent."""
    if pd.isna(low) or pd.isna(high):
        return ABSENT
    return f"[{_signed(metric.shown(float(low)), metric)}, {_signed(metric.shown(float(high)), metric)}]"


def allowed(margin: float, metric: Metric) -> str:
    """The differences within a margin, as an interval: `[-0.5, +0.5]`, of a ratio `[-4.762, +5]`."""
    low, high = metric.allowed(margin)
    return f"[{low:+.4g}, {high:+.4g}]"


def contrast(value: float, reference: str, other: str, metric: Metric) -> str:
    """A difference in words: `torch takes 10.1 % longer than keras`."""
    if metric.shown(value) == 0:
        return f"{reference} and {other} are equal on average"
    words = metric.words[0 if metric.shown(value) > 0 else 1]
    return f"{other} {words.format(size(value, metric))} {reference} on average"


def called(track: str, paired: bool) -> str:
    """What a comparison's track may be called.

    What is set up as matched is unpaired only if the parity audit failed, or if weak scaling gave the two batches of
    different sizes, and then is not matched.
    """
    return "not matched" if track == "matched" and not paired else track


def counted(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def comparison_grid(comparisons: pd.DataFrame) -> list[tuple[str, ...]]:
    """The comparisons table for reading: a heading row, then its rows."""
    heading = ("metric", "track", "reference", "other", "verdict", "runs", "paired", "difference", "95 % interval")
    tests = ("90 % interval", "margin", "p of a difference (Holm)", "p of equivalence", "wins of the other")
    chance = ("other better", "its 95 % interval", "runs to show it")
    rows = comparisons.to_dict("records")
    return [(*heading, *tests, *chance), *((*_comparison_cells(row), *_chance_cells(row)) for row in rows)]


def agreement_grid(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The agreement table for reading: a heading row, then its rows."""
    heading = ("track", "contenders", "runs of", "pairs of runs", "same class, mean ± SD", "lowest", "highest")
    tests = ("McNemar's p, median", "smallest p (Holm)", "pairs below 0.05 (Holm)")
    return [(*heading, *tests), *(_agreement_cells(row) for row in table.to_dict("records"))]


def share(value: float) -> str:
    """A fraction in per cent, to one of 10,000 images."""
    return f"{100 * value:.2f} %"


def variance_grid(variance: pd.DataFrame) -> list[tuple[str, ...]]:
    """The variance table for reading: a heading row, then its rows."""
    heading = ("what varied", "contender", "metric", "runs", "mean", "SD over runs", "95 % interval of the SD")
    return [heading, *(_variance_cells(row) for row in variance.to_dict("records"))]


def from_the_root(folder: Path) -> str:
    """A folder as a command typed at the project's root names it."""
    whole = folder.resolve()
    return shlex.quote(str(whole.relative_to(PROJECT) if whole.is_relative_to(PROJECT) else whole))


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals, or a dash for one that is not there."""
    return ABSENT if value is None or isnan(value) else f"{value:.{digits}f}"


def p_value(p: float | None) -> str:
    """In two significant digits, or a dash for one that is not there."""
    return ABSENT if pd.isna(p) else f"{p:.2g}"


def _agreement_cells(row: dict[Any, Any]) -> tuple[str, ...]:
    contenders = " and ".join(dict.fromkeys([row["a"], row["b"]]))
    mean = share(row["mean"]) if isnan(row["sd"]) else f"{100 * row['mean']:.2f} ± {share(row['sd'])}"
    told = (row["track"], contenders, row["what"], str(row["n"]), mean, share(row["low"]), share(row["high"]))
    apart = ABSENT if pd.isna(row["n_mcnemar_below_05"]) else str(row["n_mcnemar_below_05"])
    return (*told, p_value(row["p_mcnemar_median"]), p_value(row["p_mcnemar_holm"]), apart)


def _comparison_cells(row: dict[Any, Any]) -> tuple[str, ...]:
    metric = BY_NAME[row["metric"]]
    return (
        row["metric"].replace("_", " ") + (" (primary)" if row["primary"] else ""),
        *(row[name] for name in ("track", "a", "b", "verdict")),
        *(str(row["n"]), "yes" if row["paired"] else "no", amount(row["difference"], metric)),
        *(interval(row[f"ci{level}_low"], row[f"ci{level}_high"], metric) for level in (95, 90)),
        allowed(row["margin"], metric),
        *(p_value(row[p]) for p in ("p_difference", "p_equivalence")),
        ABSENT if pd.isna(row["wins"]) else str(row["wins"]),
    )


def _chance_cells(row: dict[Any, Any]) -> tuple[str, ...]:
    """How probable it is that a run of the other comes out better."""
    share, low, high = (row[f"win_share{end}"] for end in ("", "_low", "_high"))
    if pd.isna(share):
        return (ABSENT,) * 3
    told = (f"{100 * share:.0f} %", f"[{100 * low:.0f}, {100 * high:.0f}]")
    return (*told, ABSENT if pd.isna(row["win_runs_needed"]) else f"{row['win_runs_needed']:,}")


def _signed(shown: float, metric: Metric) -> str:
    """To the metric's digits; what rounds to zero has no sign."""
    text = f"{shown:+.{metric.digits}f}"
    return text if float(text) else text[1:]


def _runs(group: dict[Any, Any]) -> str:
    others = [f"{group[status]} {status}" for status in ("failed", "diverged", "oom") if group[status]]
    return ", ".join([str(group["n"]), *others])


def _variance_cells(row: dict[Any, Any]) -> tuple[str, ...]:
    low, high = row["sd_ci95_low"], row["sd_ci95_high"]
    return (
        SOURCES[row["vary"]],
        f"{row['contender']}, {row['track']}",
        row["metric"].replace("_", " "),
        _runs(row),
        number(row["mean"], 4),
        _spread(row["sd"]),
        ABSENT if isnan(low) else f"[{low:.2g}, {high:.2g}]",
    )


def _spread(sd: float) -> str:
    """In two significant digits, so that what is not 0 is never shown as 0."""
    if isnan(sd):
        return ABSENT
    return "exactly 0" if sd == 0 else f"{sd:.2g}"


def _mean_and_sd(group: dict[Any, Any], column: str, digits: int) -> str:
    """`0.8912 ± 0.0031`; the mean alone where one run has no SD."""
    mean, sd = group[f"{column}_mean"], group[f"{column}_sd"]
    return number(mean, digits) + ("" if isnan(sd) else f" ± {sd:.{digits}f}")
