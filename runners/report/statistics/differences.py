"""Two contenders on one metric: their difference, its intervals and tests, and how many more runs would settle it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from runners.report.statistics.samples import Interval, as_interval, check_pairs, finite, is_constant, rounding_of


@dataclass(frozen=True)
class Comparison:
    """Two contenders on one metric: a - b, or a / b if `ratio`. What the runs cannot support is None."""

    n: int  # pairs, or the runs of the smaller side
    n_a: int
    n_b: int
    difference: float | None  # of the means; if `ratio`, the quotient of the geometric means
    ci95: Interval | None
    ci90: Interval | None  # inside +-margin exactly if p_equivalence < 0.05
    p_difference: float | None  # two-sided t test
    p_equivalence: float | None  # two one-sided t tests
    margin: float  # in the units of `difference`; a ratio above 1 if `ratio`
    paired: bool
    ratio: bool = False
    df: float | None = None  # degrees of freedom of the t tests

    def additive(self) -> "Comparison":
        """The comparison as a difference, symmetric about 0: a ratio becomes the difference of the mean logs."""
        return self._rescaled(np.log, ratio=False) if self.ratio else self

    def _rescaled(self, function: np.ufunc, ratio: bool) -> "Comparison":
        with np.errstate(over="ignore", divide="ignore"):  # two wild runs reach from 0 to infinity, and may
            difference = None if self.difference is None else float(function(self.difference))
            ci95, ci90 = (ci and as_interval(function(ci)) for ci in (self.ci95, self.ci90))
            margin = float(function(self.margin))
        return replace(self, difference=difference, ci95=ci95, ci90=ci90, margin=margin, ratio=ratio)


@dataclass(frozen=True)
class RunsNeeded:
    """More runs of each contender to settle a comparison: 0 if they are enough, None if no number would be."""

    difference: int | None  # to show that the two differ
    equivalence: int | None  # to show that they are equivalent within the margin
    beyond: int | None = None  # to show that they differ by more than the margin


@dataclass(frozen=True)
class DifferenceChange:
    """A difference a - b in paired runs and in unpaired ones, and by how much the second exceeds the first."""

    n_paired: int  # pairs
    n_unpaired: int  # the runs of the smaller side
    paired: float | None
    unpaired: float | None
    change: float | None  # unpaired - paired
    ci95: Interval | None  # of the change


def paired_comparison(a: ArrayLike, b: ArrayLike, margin: float) -> Comparison:
    """Compare a - b pair by pair, both of shape (runs,), against +-margin (paired t test; Schuirmann's TOST).

    Below two pairs there is only the difference. Pairs that all differ by the same amount leave no doubt: the intervals
    are that point and each p is 0 or 1. Raises ValueError for unequal lengths, values that are not finite, or a margin
    that is not positive.
    """
    a, b = finite(a), finite(b)
    check_pairs(a, b)
    bare = _bare_comparison(a, b, margin, paired=True)
    if bare.n < 2:
        return bare
    if is_constant(a - b, rounding_of(a, b)):
        return _without_spread(bare)
    p_equivalence, _, _ = ttost_paired(a, b, -margin, margin)
    return _tested(bare, stats.ttest_rel(a, b), p_equivalence)


def welch_comparison(a: ArrayLike, b: ArrayLike, margin: float) -> Comparison:
    """Compare the means of a and b, shapes (runs_a,) and (runs_b,), against +-margin (Welch's t test; TOST).

    Below two runs on a side there is only the difference, and without runs on a side not even that. Two sides without
    spread leave no doubt: the intervals are a point and each p is 0 or 1. Raises ValueError for values that are not
    finite or a margin that is not positive.
    """
    a, b = finite(a), finite(b)
    bare = _bare_comparison(a, b, margin, paired=False)
    if bare.n < 2:
        return bare
    rounding = rounding_of(a, b)
    a, b = (np.full_like(side, side[0]) if is_constant(side, rounding) else side for side in (a, b))
    if np.ptp(a) == np.ptp(b) == 0:
        return _without_spread(bare)
    # SciPy warns of a side without spread unless that side is zero; the test does not depend on where zero is.
    zero = a[0] if np.ptp(a) == 0 else b[0]
    p_equivalence, _, _ = ttost_ind(a - zero, b - zero, -margin, margin, usevar="unequal")
    return _tested(bare, stats.ttest_ind(a - zero, b - zero, equal_var=False), p_equivalence)


def ratio_comparison(a: ArrayLike, b: ArrayLike, margin: float, paired: bool) -> Comparison:
    """Compare a / b against 1/margin to margin (1.05 is 5 %): the comparison of the logs, taken back by exp.

    Raises ValueError where the comparison of the logs would, for values that are not positive, and for a margin not
    above 1.
    """
    a, b = finite(a), finite(b)
    if min(a.min(initial=1), b.min(initial=1)) <= 0:
        raise ValueError("A ratio needs positive values")
    if not (isfinite(margin) and margin > 1):
        raise ValueError(f"The margin of a ratio must be above 1, not {margin}")
    compare = paired_comparison if paired else welch_comparison
    logs = compare(np.log(a), np.log(b), float(np.log(margin)))
    return replace(logs._rescaled(np.exp, ratio=True), margin=margin)


def difference_change(
    paired_a: ArrayLike, paired_b: ArrayLike, unpaired_a: ArrayLike, unpaired_b: ArrayLike
) -> DifferenceChange:
    """By how much a - b of unpaired runs exceeds a - b of paired ones, all of shape (runs,), with a 95 % t interval.

    The two differences come from different runs, taken as independent, so their variances add: s^2/n of the pairs'
    differences, and s^2/n of each unpaired side. With v for each of these three, of n - 1 degrees of freedom, those of
    the sum are (sum of v)^2 / (sum of v^2/df) (Satterthwaite 1946; Welch 1947). Below two pairs, or two runs on an
    unpaired side, there is no interval; a difference without runs is None. Raises ValueError for pairs of unequal
    length and for values that are not finite.
    """
    a, b, c, d = (finite(values) for values in (paired_a, paired_b, unpaired_a, unpaired_b))
    check_pairs(a, b)
    paired, unpaired = _difference(a, b), _difference(c, d)
    found = DifferenceChange(len(a), min(len(c), len(d)), paired, unpaired, None, None)
    if paired is None or unpaired is None:
        return found
    change = unpaired - paired
    half = _half_width(a - b, c, d)
    return replace(found, change=change, ci95=None if half is None else (change - half, change + half))


def runs_needed(comparison: Comparison, tests: int = 1) -> RunsNeeded:
    """About how many more runs of each contender would settle the comparison, were mean and spread to stay.

    N = ceil((t s / h)^2) - n: h is |difference|, with the 95 % interval's t, to show a difference; margin -
    |difference|, with the 90 % interval's t, to show equivalence; and |difference| - margin, with the 95 % interval's
    t, to show a difference beyond the margin. Where a difference is one of several `tests`, t is that of 1 - 0.05/tests
    (Bonferroni). It has today's degrees of freedom, which errs on the side of more runs. Unpaired sides grow alike,
    from the larger. All None where there is no interval yet.
    """
    logs = comparison.additive()
    if logs.difference is None or logs.ci95 is None or logs.ci90 is None:
        return RunsNeeded(None, None)
    n, distance = max(logs.n_a, logs.n_b), abs(logs.difference)
    wider = 1.0 if logs.df is None else stats.t.ppf(1 - 0.025 / tests, logs.df) / stats.t.ppf(0.975, logs.df)
    return RunsNeeded(
        _more_runs(n, logs.ci95, distance / wider),
        _more_runs(n, logs.ci90, logs.margin - distance),
        _more_runs(n, logs.ci95, distance - logs.margin),
    )


def holm(pvalues: Sequence[float | None]) -> list[float | None]:
    """Adjust p values for their number (Holm 1979). None and NaN stay as they are and do not count.

    Raises ValueError for a p value outside 0 to 1.
    """
    known = [i for i, p in enumerate(pvalues) if p is not None and not np.isnan(p)]
    chosen = np.array([pvalues[i] for i in known], float)
    if ((chosen < 0) | (chosen > 1)).any():
        raise ValueError("A p value lies between 0 and 1")
    adjusted = list(pvalues)
    for i, p in zip(known, multipletests(chosen, method="holm")[1], strict=True):
        adjusted[i] = float(p)
    return adjusted


def _bare_comparison(a: np.ndarray, b: np.ndarray, margin: float, paired: bool) -> Comparison:
    if not (isfinite(margin) and margin > 0):
        raise ValueError(f"The margin must be positive, not {margin}")
    n = min(len(a), len(b))
    return Comparison(n, len(a), len(b), _difference(a, b), None, None, None, None, margin, paired)


def _difference(a: np.ndarray, b: np.ndarray) -> float | None:
    """Of the means; None without values on a side."""
    if not (len(a) and len(b)):
        return None
    difference = float(a.mean() - b.mean())
    return 0.0 if abs(difference) <= rounding_of(a, b) else difference


def _half_width(*samples: np.ndarray) -> float | None:
    """Of the 95 % t interval of a sum or difference of the samples' means; None if any has less than two values."""
    if min(map(len, samples)) < 2:
        return None
    variances = np.array([x.var(ddof=1) / len(x) for x in samples])
    if not variances.any():
        return 0.0
    df = variances.sum() ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(variances, samples, strict=True))
    return float(stats.t.ppf(0.975, df) * np.sqrt(variances.sum()))


def _without_spread(bare: Comparison) -> Comparison:
    """Without spread the point is the interval: nothing is left to chance, so each p is 0 or 1."""
    point = bare.difference or 0.0
    p_difference, p_equivalence = float(point == 0), float(abs(point) >= bare.margin)
    ci = (point, point)
    return replace(bare, ci95=ci, ci90=ci, p_difference=p_difference, p_equivalence=p_equivalence)


def _tested(bare: Comparison, test: Any, p_equivalence: float) -> Comparison:
    """Fill in what a SciPy t test found."""
    ci95, ci90 = (as_interval(test.confidence_interval(confidence)) for confidence in (0.95, 0.90))
    p_difference, p_equivalence = float(test.pvalue), float(p_equivalence)
    tested = replace(bare, p_difference=p_difference, p_equivalence=p_equivalence, df=float(test.df))
    return replace(tested, ci95=ci95, ci90=ci90)


def _more_runs(n: int, interval: Interval, distance: float) -> int | None:
    """Runs beyond n until half the interval, which shrinks by the root of their number, is below the distance."""
    if distance <= 0:
        return None
    times_too_wide = (interval[1] - interval[0]) / 2 / distance
    if times_too_wide < 1:
        return 0
    total = n * times_too_wide * times_too_wide
    return max(ceil(total) - n, 1) if isfinite(total) else None
