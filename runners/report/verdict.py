"""What the report says of a comparison: one of five verdicts, by rules fixed before any run.

A wide interval is never read as agreement: what is neither shown to differ nor shown to be equivalent is inconclusive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, floor
from typing import Literal

from numpy.typing import ArrayLike

from runners.report.metrics import Metric
from runners.report.statistics import (
    Comparison,
    Interval,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)
from runners.report.wording import allowed, contrast, counted, interval

Kind = Literal["descriptive", "better", "equivalent", "different", "inconclusive"]

SEEDS_FOR_A_VERDICT = 5
SIGNIFICANT = 0.05
DIFFERENT: tuple[Kind, ...] = ("better", "different")
REACHABLE = "A target that every run reaches would give one: a lower --target-accuracy, or more --epochs."
SEVERAL_DRAWS = "Runs of several draws would give one: --vary all, and another --out."


@dataclass(frozen=True)
class Verdict:
    """One comparison's verdict in whole sentences: in short, the difference with its interval, what would change it."""

    kind: Kind
    short: str
    told: str  # empty where there is no difference
    would_change: str


@dataclass(frozen=True)
class _Case:
    """A comparison, and whom and what it compares."""

    comparison: Comparison
    reference: str
    other: str
    metric: Metric
    tested: int

    @property
    def logs(self) -> Comparison:
        return self.comparison.additive()

    @property
    def excludes_zero(self) -> bool:
        return self.logs.ci95 is not None and _nearest_to_zero(self.logs.ci95) > 0

    @property
    def differs(self) -> bool:
        """Whether a difference is shown: by the interval, and of a secondary metric by the corrected p value too."""
        p = self.comparison.p_difference
        return self.excludes_zero and (self.metric.primary or (p is not None and p < SIGNIFICANT))

    @property
    def better(self) -> str:
        is_larger = (self.logs.difference or 0) > 0
        return self.other if is_larger == self.metric.higher_is_better else self.reference


def compare(metric: Metric, values: ArrayLike, reference: ArrayLike, *, paired: bool) -> Comparison:
    """Compare a contender's values of a metric with its reference's, both of shape (runs,), against the margin.

    The difference is `values` less `reference`, the ratio `values` over `reference`. Raises ValueError where the
    comparison does.
    """
    if metric.ratio:
        return ratio_comparison(values, reference, metric.margin, paired)
    return (paired_comparison if paired else welch_comparison)(values, reference, metric.margin)


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

    The margin is the comparison's. So is the p value of a difference, which must be corrected for the number of
    secondary metrics `tested`: of a secondary metric nothing is better or different unless that is below 0.05.
    `unreached` counts the completed runs of the reference and of the other that never reached the metric's target:
    where there are any, those that did are the faster ones of their side, and their means carry no verdict. Nor do they
    where all runs repeat `one_draw` of weights and order: many repetitions of it are still a sample of one.
    Raises ValueError if the comparison is a ratio and the metric is not, or vice versa.
    """
    if comparison.ratio != metric.ratio:
        raise ValueError(f"{metric.name} and its comparison must both be ratios or neither")
    case = _Case(comparison, reference, other, metric, tested)
    kind = "descriptive" if any(unreached) or one_draw else _kind(case)
    if kind == "descriptive":
        return _descriptive(case, unreached, one_draw)
    return Verdict(kind, _short(kind, case), _told(kind, case), _would_change(kind, case))


def _kind(case: _Case) -> Kind:
    """The first rule that matches. "Outside", "inside" and "excludes" are strict: to touch is not enough."""
    logs = case.logs
    if logs.n < SEEDS_FOR_A_VERDICT or logs.ci95 is None or logs.ci90 is None:
        return "descriptive"
    if case.differs and _nearest_to_zero(logs.ci95) > logs.margin:
        return "better"
    if _farthest_from_zero(logs.ci90) < logs.margin:
        return "equivalent"
    return "different" if case.differs else "inconclusive"


def _nearest_to_zero(ends: Interval) -> float:
    """How far zero lies outside the interval; not positive if inside."""
    return max(ends[0], -ends[1])


def _farthest_from_zero(ends: Interval) -> float:
    return max(-ends[0], ends[1])


def _descriptive(case: _Case, unreached: tuple[int, int], one_draw: bool) -> Verdict:
    n, told = case.comparison.n, _on_average(case)
    if any(unreached):
        sides = zip(unreached, (case.reference, case.other), strict=True)
        missed = " and ".join(f"{counted(runs, 'run')} of {name}" for runs, name in sides)
        why, change = f"where runs never reached it: {missed}", REACHABLE
        told = told and f"Of those that did: {told}"
    elif one_draw:
        why, change = f"where all runs repeat one draw ({counted(n, 'run')} each)", SEVERAL_DRAWS
    else:
        why = f"with {counted(n, 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)"
        change = f"At least {counted(SEEDS_FOR_A_VERDICT - n, 'more seed')} for a verdict."
    short = f"{case.metric.label}: descriptive only, no verdict {why}."
    return Verdict("descriptive", short, told and f"{told}.", SEVERAL_DRAWS if one_draw else change)


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


def _told(kind: Kind, case: _Case) -> str:
    """The difference with the interval that the verdict goes by, and the margin."""
    level, ends = (90, case.comparison.ci90) if kind == "equivalent" else (95, case.comparison.ci95)
    assert ends is not None
    metric, margin = case.metric, allowed(case.comparison.margin, case.metric)
    shown = f"{level} % interval {interval(*ends, metric)} {metric.unit}, margin {margin} {metric.unit}"
    detectable = " The difference is detectable, but smaller than the margin."
    return f"{_on_average(case)} ({shown}).{detectable if kind == 'equivalent' and case.differs else ''}"


def _on_average(case: _Case) -> str:
    found = case.comparison
    if found.difference is None:
        return ""
    runs = f"{counted(found.n, 'pair')} of runs" if found.paired else f"at least {counted(found.n, 'run')} each"
    return f"Over {runs}, {contrast(found.difference, case.reference, case.other, case.metric)}"


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
    """Nothing shows a difference of zero, or equivalence of what is beyond the margin."""
    if number is None:
        return f"As the means are, no number of seeds would show {what}."
    return f"At least {counted(number, 'more seed')} to show {what}."


def _margin(distance: float, metric: Metric, rounding: Callable[[float], int]) -> str:
    """A margin as it is declared, given from zero on, a ratio's in logs.

    It is rounded by floor or ceil, which take what lies within rounding of a digit for that one.
    """
    scale = 10**metric.digits
    shown = metric.shown(exp(distance) if metric.ratio else distance)
    return f"{rounding(round(shown * scale, 6)) / scale:.{metric.digits}f} {metric.unit}"
