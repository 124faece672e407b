"""How numbers, differences and folders are written for people: on the screen, the page and in Markdown alike."""

import shlex
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from runners.core.environment import PROJECT
from runners.core.spec import Vary
from runners.report.metrics import SEEDS_FOR_A_VERDICT, Metric

ABSENT = "-"
# What differs between the runs of a contender, and what is then the same in all of them.
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


def amount(value: float | None, metric: Metric) -> str:
    """Write a difference of the comparisons table with sign and unit: `+0.15 points`, `-9.2 %`; a dash if absent."""
    return ABSENT if pd.isna(value) else f"{_signed(metric.shown(float(value)), metric)} {metric.unit}"


def size(value: float, metric: Metric) -> str:
    """Write a difference without its sign, for a sentence whose words give the direction: `0.15 points`, `9.2 %`."""
    return f"{abs(metric.shown(value)):.{metric.digits}f} {metric.unit}"


def interval(low: float | None, high: float | None, metric: Metric) -> str:
    """Write an interval of differences without the unit: `[+0.01, +0.29]`; a dash if absent."""
    if pd.isna(low) or pd.isna(high):
        return ABSENT
    return f"[{_signed(metric.shown(float(low)), metric)}, {_signed(metric.shown(float(high)), metric)}]"


def allowed(margin: float, metric: Metric) -> str:
    """Write the differences within a margin as an interval: `[-0.5, +0.5]`, of a ratio `[-4.762, +5]`."""
    low, high = metric.allowed(margin)
    return f"[{low:+.4g}, {high:+.4g}]"


def contrast(value: float, reference: str, other: str, metric: Metric) -> str:
    """Write a difference in words: `torch takes 10.1 % longer than keras on average`."""
    if metric.shown(value) == 0:
        return f"{reference} and {other} are equal on average"
    words = metric.words[0 if metric.shown(value) > 0 else 1]
    return f"{other} {words.format(size(value, metric))} {reference} on average"


def better_of(value: float, reference: str, other: str, metric: Metric) -> str:
    """Return the contender that a difference or ratio of the comparisons table speaks for."""
    return other if (metric.shown(value) > 0) == metric.higher_is_better else reference


def called(track: str, paired: bool) -> str:
    """Return the name under which a comparison's track is shown.

    A matched track is unpaired only if the parity audit failed, or if weak scaling gave the two contenders batches of
    different sizes. It is then shown as not matched.
    """
    return "not matched" if track == "matched" and not paired else track


def counted(number: int, noun: str) -> str:
    """Write a count with its noun: `1 seed`, `2 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def too_few(seeds: int) -> str:
    """Say that so many seeds carry no verdict: `with 3 seeds (5 are needed)`."""
    return f"with {counted(seeds, 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)"


def runs_and_others(row: dict[Any, Any]) -> str:
    """Write how many runs completed, and how many ended otherwise: `4, 1 failed`."""
    others = [f"{row[status]} {status}" for status in ("failed", "diverged", "oom") if row[status]]
    return ", ".join([str(row["n"]), *others])


def number(value: float | None, digits: int) -> str:
    """Write a number with so many decimals; a dash if absent."""
    return ABSENT if value is None or isnan(value) else f"{value:.{digits}f}"


def mean_and_sd(mean: float, sd: float, digits: int) -> str:
    """Write `0.8912 ± 0.0031`; the mean alone where one run has no standard deviation."""
    return number(mean, digits) if isnan(sd) else f"{number(mean, digits)} ± {number(sd, digits)}"


def per_cent(value: float, digits: int = 0) -> str:
    """Write a fraction in per cent: `87 %`; a dash if absent."""
    return ABSENT if isnan(value) else f"{100 * value:.{digits}f} %"


def p_value(p: float | None) -> str:
    """Write a p value in two significant digits; a dash if absent."""
    return ABSENT if pd.isna(p) else f"{p:.2g}"


def from_the_root(folder: Path) -> str:
    """Write a folder as a command typed at the project's root names it."""
    whole = folder.resolve()
    return shlex.quote(str(whole.relative_to(PROJECT) if whole.is_relative_to(PROJECT) else whole))


def _signed(shown: float, metric: Metric) -> str:
    """Write a number in the metric's digits; what rounds to zero has no sign."""
    text = f"{shown:+.{metric.digits}f}"
    return text if float(text) else text[1:]
