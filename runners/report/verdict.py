"""What the report says of a comparison: one of five verdicts, in one sentence, by rules fixed before any run.

A wide interval is never read as agreement: what is neither shown to differ nor shown to be equivalent is inconclusive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, expm1, floor
from typing import Literal

from numpy.typing import ArrayLike

from runners.report.statistics import (
    Comparison,
    Interval,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)

Kind = Literal["descriptive", "better", "equivalent", "different", "inconclusive"]

SEEDS_FOR_A_VERDICT = 5
DIFFERENT: tuple[Kind, ...] = ("better", "different")
NOT_AFTER_HOLM = "not significant after Holm's correction of the secondary metrics"


@dataclass(frozen=True)
class Metric:
    """A column of the runs table that contenders are compared by.

    A ratio (of times, speeds or losses) is told in per cent; anything else is a fraction, and its differences are told
    in percentage points.
    """

    name: str  # the column
    label: str  # opens the sentence
    higher_is_better: bool
    margin: float  # the smallest difference that matters: a fraction, or a ratio above 1
    ratio: bool
    declared: str = "time_margin"  # the plan's field that has the margin
    larger: str = "slower"  # what the contender with the larger value is
    primary: bool = False
    may_be_unreached: bool = False  # a completed run without it never got there


METRICS = (
    Metric("test_accuracy", "Test accuracy", True, 0.005, False, "accuracy_margin", "higher", primary=True),
    Metric("test_loss", "Test loss", False, 1.05, True, "loss_margin", "higher"),
    Metric("train_seconds", "Training time", higher_is_better=False, margin=1.05, ratio=True),
    Metric("images_per_second", "Images per second", True, 1.05, True, larger="faster"),
    Metric("total_seconds", "Total time", higher_is_better=False, margin=1.05, ratio=True),
)
# Compared only where the plan declares a target.
TIME_TO_ACCURACY = Metric(
    "seconds_to_accuracy", "Time to accuracy", higher_is_better=False, margin=1.05, ratio=True, may_be_unreached=True
)


@dataclass(frozen=True)
class Verdict:
    """One comparison's verdict, and the sentence that tells it."""

    kind: Kind
    sentence: str
    would_change: str = ""  # a sentence on what would change it; empty where the first has it


REACHABLE = "A target that every run reaches would give one: a lower --target-accuracy, or more --epochs."
SEVERAL_DRAWS = "Runs of several draws would give one: --vary all, and another --out."


@dataclass(frozen=True)
class _Gap:
    """A comparison told from the side with the larger mean; for a ratio in logs."""

    larger: str
    smaller: str
    difference: float  # >= 0
    ci95: Interval
    ci90: Interval
    margin: float
    metric: Metric

    @property
    def better(self) -> str:
        return self.larger if self.metric.higher_is_better else self.smaller


def compare(metric: Metric, a: ArrayLike, b: ArrayLike, *, paired: bool) -> Comparison:
    """Compare two contenders' values of a metric, of shape (runs,), against its margin.

    Raises ValueError where the comparison does.
    """
    if metric.ratio:
        return ratio_comparison(a, b, metric.margin, paired)
    return (paired_comparison if paired else welch_comparison)(a, b, metric.margin)


def verdict(
    comparison: Comparison,
    a: str,
    b: str,
    metric: Metric,
    unreached: tuple[int, int] = (0, 0),
    one_draw: bool = False,
) -> Verdict:
    """Judge a comparison of the contenders named a and b; intervals in the sentence are 95 % unless it says 90 %.

    The margin is the comparison's. `unreached` counts the completed runs of a and b that never reached the metric's
    target: where there are any, those that did are the faster ones of their side, and their means carry no verdict.
    Nor do they where all runs repeat `one_draw` of weights and order: many repetitions of it are still a sample of one.
    Raises ValueError if the comparison is a ratio and the metric is not, or vice versa.
    """
    if comparison.ratio != metric.ratio:
        raise ValueError(f"{metric.name} and its comparison must both be ratios or neither")
    kind, gap = _kind(comparison), _gap(comparison, a, b, metric)
    change = _would_change(kind, comparison, gap)
    if any(unreached):
        kind, told = "descriptive", _unreached(unreached, a, b, gap)
        change = SEVERAL_DRAWS if one_draw else REACHABLE
    elif one_draw:
        kind, told, change = "descriptive", _one_draw(comparison, gap), SEVERAL_DRAWS
    elif kind == "descriptive" or gap is None:
        told = _descriptive(comparison, gap)
    elif kind == "better":
        told = _better(gap)
    elif kind == "equivalent":
        told = _equivalent(gap)
    elif kind == "different":
        told = f"different; its size against the margin is unresolved; {_with_interval(gap)}"
    else:
        told = f"inconclusive; {_more_seeds(comparison)}; {_with_interval(gap)}"
    return Verdict(kind, f"{metric.label}: {told}.", change)


def _would_change(kind: Kind, comparison: Comparison, gap: _Gap | None) -> str:
    if kind == "descriptive":
        return f"At least {counted(SEEDS_FOR_A_VERDICT - comparison.n, 'more seed')} for a verdict."
    if kind == "inconclusive" or gap is None:
        return ""
    if kind == "better":
        return f"This holds for any margin below {amount(_nearest_to_zero(gap.ci95), gap.metric, floor)}."
    if kind == "equivalent":
        return f"This holds for any margin above {amount(_farthest_from_zero(gap.ci90), gap.metric, ceil)}."
    return _to_settle_its_size(comparison)


def _to_settle_its_size(comparison: Comparison) -> str:
    needed = runs_needed(comparison)
    if needed.beyond is not None:
        return f"At least {counted(needed.beyond, 'more seed')} to show that it is beyond the margin."
    if needed.equivalence is not None:
        return f"At least {counted(needed.equivalence, 'more seed')} to show that it is within the margin."
    return "It lies at the margin itself, where no number of seeds settles its size."


def _kind(comparison: Comparison) -> Kind:
    """The first rule that matches. "Outside", "inside" and "excludes" are strict: to touch is not enough."""
    logs = comparison.additive()
    if logs.n < SEEDS_FOR_A_VERDICT or logs.ci95 is None or logs.ci90 is None:
        return "descriptive"
    if _nearest_to_zero(logs.ci95) > logs.margin:
        return "better"
    if _farthest_from_zero(logs.ci90) < logs.margin:
        return "equivalent"
    return "different" if _nearest_to_zero(logs.ci95) > 0 else "inconclusive"


def _nearest_to_zero(interval: Interval) -> float:
    """How far zero lies outside the interval; not positive if inside."""
    return max(interval[0], -interval[1])


def _farthest_from_zero(interval: Interval) -> float:
    return max(-interval[0], interval[1])


def _gap(comparison: Comparison, a: str, b: str, metric: Metric) -> _Gap | None:
    logs = comparison.additive()
    if logs.difference is None:
        return None
    point = (logs.difference, logs.difference)
    ci95, ci90 = logs.ci95 or point, logs.ci90 or point
    if logs.difference >= 0:
        return _Gap(a, b, logs.difference, ci95, ci90, logs.margin, metric)
    return _Gap(b, a, -logs.difference, _negated(ci95), _negated(ci90), logs.margin, metric)


def _negated(interval: Interval) -> Interval:
    return -interval[1], -interval[0]


def _descriptive(comparison: Comparison, gap: _Gap | None) -> str:
    told = f"descriptive only, no verdict with {counted(comparison.n, 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)"
    return told if gap is None else f"{told}; {_on_average(gap)}"


def _unreached(unreached: tuple[int, int], a: str, b: str, gap: _Gap | None) -> str:
    of_a, of_b = (f"{counted(runs, 'run')} of {name}" for runs, name in zip(unreached, (a, b), strict=True))
    told = f"descriptive only, no verdict where runs never reached it: {of_a} and {of_b}"
    return told if gap is None else f"{told}; among those that did, {_on_average(gap)}"


def _one_draw(comparison: Comparison, gap: _Gap | None) -> str:
    told = f"descriptive only, no verdict where all runs repeat one draw ({counted(comparison.n, 'run')} each)"
    return told if gap is None else f"{told}; {_on_average(gap)}"


def _better(gap: _Gap) -> str:
    size = f"{amount(gap.difference, gap.metric)} {bracketed(gap.ci95, gap.metric)}"
    told = f"{gap.better} is better by {size}, beyond the margin of {_margin(gap)}"
    # Of what a ratio's per cent are, and which way it goes, the rule's words leave open.
    return f"{told}: {gap.larger} is that much {gap.metric.larger} than {gap.smaller}" if gap.metric.ratio else told


def _equivalent(gap: _Gap) -> str:
    told = f"equivalent within the margin of {_margin(gap)}"
    if _nearest_to_zero(gap.ci95) > 0:
        told += "; a detectable difference, smaller than the margin"
    return f"{told}; {_on_average(gap)} (90 % interval {bracketed(gap.ci90, gap.metric)})"


def _more_seeds(comparison: Comparison) -> str:
    """Both numbers of runs. One of them may not exist: nothing shows a difference of zero, or equivalence beyond it."""
    needed = runs_needed(comparison)
    show_difference, show_equivalence = "to show a difference", "to show equivalence"
    if needed.difference is None:
        return (
            f"at least {counted(needed.equivalence or 0, 'more seed')} {show_equivalence}, no number {show_difference}"
        )
    told = f"at least {counted(needed.difference, 'more seed')} {show_difference}"
    if needed.equivalence is None:
        return f"{told}, no number {show_equivalence}"
    return f"{told}, at least {needed.equivalence:,} {show_equivalence}"


def _with_interval(gap: _Gap) -> str:
    return f"{_on_average(gap)} {bracketed(gap.ci95, gap.metric)}, with a margin of {_margin(gap)}"


def _on_average(gap: _Gap) -> str:
    if gap.difference == 0:
        return f"{gap.larger} and {gap.smaller} are equal on average"
    return f"{gap.larger} is {amount(gap.difference, gap.metric)} {gap.metric.larger} on average"


def _number(value: float, metric: Metric, rounding: Callable[[float], int] | None = None) -> str:
    """To the nearest digit shown, or by floor or ceil, which take what lies within rounding of a digit for that one."""
    percent, digits = (100 * expm1(value), 1) if metric.ratio else (100 * value, 2)
    if rounding:
        percent = rounding(round(percent * 10**digits, 6)) / 10**digits
    return f"{percent:z.{digits}f}{' %' if metric.ratio else ''}"


def amount(value: float, metric: Metric, rounding: Callable[[float], int] | None = None) -> str:
    """A difference for reading, with its unit; of a ratio's logs."""
    number = _number(value, metric, rounding)
    return number if metric.ratio else f"{number} percentage points"


def bracketed(interval: Interval, metric: Metric) -> str:
    """An interval of such differences."""
    return f"[{_number(interval[0], metric)}, {_number(interval[1], metric)}]"


def _margin(gap: _Gap) -> str:
    return f"{100 * expm1(gap.margin):g} %" if gap.metric.ratio else f"{100 * gap.margin:g} percentage points"


def counted(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
