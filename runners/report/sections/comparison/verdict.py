"""The verdict on a comparison: one of five, by rules fixed before any run, and worded here alone.

A wide interval is never read as agreement: if neither a difference nor equivalence is shown, it is inconclusive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, floor
from typing import Literal

from numpy.typing import ArrayLike

from runners.report.metrics import SEEDS_FOR_A_VERDICT, Metric
from runners.report.statistics.differences import (
    Comparison,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)
from runners.report.statistics.samples import Interval
from runners.report.wording import allowed, better_of, contrast, counted, interval, too_few

Kind = Literal["descriptive", "better", "equivalent", "different", "inconclusive"]

SIGNIFICANT = 0.05
DIFFERENT: tuple[Kind, ...] = ("better", "different")
REACHABLE = "A target that every run reaches would give one: a lower --target-accuracy, or more --epochs."
SEVERAL_DRAWS = "Runs of several draws would give one: --vary all, and another --out."


@dataclass(frozen=True)
class Verdict:
    """A verdict in whole sentences."""

    kind: Kind
    short: str  # the verdict itself
    difference: str  # with its interval; empty without a difference
    would_change: str  # which margin or how many more seeds would change the verdict


@dataclass(frozen=True)
class _Case:
    """A comparison of two contenders on a metric."""

    comparison: Comparison
    reference: str
    other: str
    metric: Metric
    tested: int  # metrics that the p value is corrected for

    @property
    def logs(self) -> Comparison:
        return self.comparison.additive()

    @property
    def excludes_zero(self) -> bool:
        return self.logs.ci95 is not None and _nearest_to_zero(self.logs.ci95) > 0

    @property
    def differs(self) -> bool:
        """Whether a difference is shown: by the interval, and for a secondary metric by the corrected p value too."""
        p = self.comparison.p_difference
        return self.excludes_zero and (self.metric.primary or (p is not None and p < SIGNIFICANT))

    @property
    def better(self) -> str:
        return better_of(self.comparison.difference or 0, self.reference, self.other, self.metric)


def compare(metric: Metric, margin: float, values: ArrayLike, reference: ArrayLike, *, paired: bool) -> Comparison:
    """Compare a contender's values of a metric with its reference's, both of shape (runs,), against a margin.

    The difference is `values` less `reference`, the ratio `values` over `reference`. Raises ValueError where the
    comparison does.
    """
    if metric.ratio:
        return ratio_comparison(values, reference, margin, paired)
    return (paired_comparison if paired else welch_comparison)(values, reference, margin)


def verdict(
    comparison: Comparison,
    reference: str,
    other: str,
    metric: Metric,
    *,
    tested: int = 1,
    unreached: tuple[int, int] = (0, 0),
    one_draw: bool = False,
) -> Verdict:
    """Judge a comparison of the contender `other` with its `reference`.

    The comparison has the margin, and the p value of a difference. That must be corrected for the number of secondary
    metrics `tested`: unless it is below 0.05, a secondary metric is neither better nor different. `unreached` counts
    the completed runs of the reference and of the other that never reached the metric's target. If there are any, the
    runs that reached it are the faster ones of their side, and their means carry no verdict. Neither do the means of
    runs that all repeat `one_draw` of weights and order: many repetitions of one draw are a sample of one.

    Raises ValueError if the comparison is a ratio and the metric is not, or vice versa.
    """
    if comparison.ratio != metric.ratio:
        raise ValueError(f"{metric.name} and its comparison must both be ratios or neither")
    case = _Case(comparison, reference, other, metric, tested)
    kind = "descriptive" if any(unreached) or one_draw else _kind(case)
    if kind == "descriptive":
        return _descriptive(case, unreached, one_draw)
    return Verdict(kind, _short(kind, case), _difference(kind, case), _would_change(kind, case))


def _kind(case: _Case) -> Kind:
    """Return the first rule that matches. An interval that touches a margin is neither inside nor outside it."""
    logs = case.logs
    if logs.n < SEEDS_FOR_A_VERDICT or logs.ci95 is None or logs.ci90 is None:
        return "descriptive"
    if case.differs and _nearest_to_zero(logs.ci95) > logs.margin:
        return "better"
    if _farthest_from_zero(logs.ci90) < logs.margin:
        return "equivalent"
    return "different" if case.differs else "inconclusive"


def _nearest_to_zero(ends: Interval) -> float:
    """Return how far zero lies outside the interval; not positive if inside."""
    return max(ends[0], -ends[1])


def _farthest_from_zero(ends: Interval) -> float:
    return max(-ends[0], ends[1])


def _descriptive(case: _Case, unreached: tuple[int, int], one_draw: bool) -> Verdict:
    n, difference = case.comparison.n, _on_average(case)
    if any(unreached):
        sides = zip(unreached, (case.reference, case.other), strict=True)
        missed = " and ".join(f"{counted(runs, 'run')} of {name}" for runs, name in sides)
        why, change = f"where runs never reached it: {missed}", REACHABLE
        difference = difference and f"Of those that did: {difference}"
    elif one_draw:
        why, change = f"where all runs repeat one draw ({counted(n, 'run')} each)", SEVERAL_DRAWS
    else:
        why = too_few(n)
        change = f"At least {counted(SEEDS_FOR_A_VERDICT - n, 'more seed')} for a verdict."
    short = f"{case.metric.label}: descriptive only, no verdict {why}."
    change = SEVERAL_DRAWS if one_draw else change
    return Verdict("descriptive", short, difference and f"{difference}.", change)


def _short(kind: Kind, case: _Case) -> str:
    label = case.metric.label
    if kind == "better":
        return f"{label}: {case.better} is better, beyond the margin."
    if kind == "equivalent":
        return f"{label}: the same for practical purposes, equivalent within the margin."
    if kind == "different":
        return f"{label}: different; its size against the margin is unresolved."
    if case.excludes_zero:
        return f"{label} may differ: not settled after correcting for {counted(case.tested, 'metric')}."
    return f"{label}: inconclusive, not settled by these runs."


def _difference(kind: Kind, case: _Case) -> str:
    """Write the difference with the interval that decides the verdict, and the margin."""
    level, ends = (90, case.comparison.ci90) if kind == "equivalent" else (95, case.comparison.ci95)
    assert ends is not None
    metric, margin = case.metric, allowed(case.comparison.margin, case.metric)
    shown = f"{level} % interval {interval(*ends, metric)} {metric.unit}, margin {margin} {metric.unit}"
    detectable = " The difference is detectable, but smaller than the margin."
    return f"{_on_average(case)} ({shown}).{detectable if kind == 'equivalent' and case.differs else ''}"


def _on_average(case: _Case) -> str:
    comparison = case.comparison
    if comparison.difference is None:
        return ""
    n = comparison.n
    runs = f"{counted(n, 'pair')} of runs" if comparison.paired else f"at least {counted(n, 'run')} each"
    return f"Over {runs}, {contrast(comparison.difference, case.reference, case.other, case.metric)}"


def _would_change(kind: Kind, case: _Case) -> str:
    logs = case.logs
    assert logs.ci95 is not None
    assert logs.ci90 is not None
    if kind == "better":
        return f"This holds for any margin below {_margin(_nearest_to_zero(logs.ci95), case.metric, floor)}."
    if kind == "equivalent":
        return f"This holds for any margin above {_margin(_farthest_from_zero(logs.ci90), case.metric, ceil)}."
    needed = runs_needed(case.comparison, case.tested)
    if kind == "inconclusive":
        return f"{_more_seeds(needed.difference, 'a difference')} {_more_seeds(needed.equivalence, 'equivalence')}"
    if needed.beyond is None and needed.equivalence is None:
        return "The difference lies at the margin itself, where no number of seeds settles its size."
    if needed.beyond is not None:
        return _more_seeds(needed.beyond, "that the difference is beyond the margin")
    return _more_seeds(needed.equivalence, "that the difference is within the margin")


def _more_seeds(number: int | None, what: str) -> str:
    """Write how many more seeds it takes; no number shows a difference of zero, or equivalence beyond the margin."""
    if number is None:
        return f"As the means are, no number of seeds would show {what}."
    return f"At least {counted(number, 'more seed')} to show {what}."


def _margin(distance: float, metric: Metric, rounding: Callable[[float], int]) -> str:
    """Write a distance from zero as a margin, as the plan declares margins; a ratio's distance is in logs.

    It is rounded by floor or ceil; a number within float rounding of a digit counts as that digit.
    """
    scale = 10**metric.digits
    shown = metric.shown(exp(distance) if metric.ratio else distance)
    return f"{rounding(round(shown * scale, 6)) / scale:.{metric.digits}f} {metric.unit}"
