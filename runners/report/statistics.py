"""What a comparison of two contenders can support: intervals, tests, and how many more runs would settle it.

Intervals of means are t intervals: at the few runs a study has, a percentile bootstrap covers far too little
(75 % at n = 3, for a nominal 95 %). Values that differ by less than rounding (`_ROUNDING`) count as equal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

Interval = tuple[float, float]

_ROUNDING = 1e-12  # relative to the largest value, absolute below 1: what float64 sums and logs leave behind
_OUTLIER_MADS = 14.826  # ten standard deviations: for a normal distribution 1.4826 MAD is one (hyperfine's rule)
_RUNS_FOR_A_BOOTSTRAP_BAND = 8  # fewer have too few patterns of signs
_SIGN_DRAWS = 2_000


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
    correlation: float | None  # Pearson's, of the pairs (of their logs if `ratio`)
    ratio: bool = False

    def additive(self) -> "Comparison":
        """The comparison as a difference, symmetric about 0: a ratio becomes the difference of the mean logs."""
        return self._rescaled(np.log, ratio=False) if self.ratio else self

    def _rescaled(self, function: np.ufunc, ratio: bool) -> "Comparison":
        with np.errstate(over="ignore", divide="ignore"):  # two wild runs reach from 0 to infinity, and may
            difference = None if self.difference is None else float(function(self.difference))
            ci95, ci90 = (ci and _interval(function(ci)) for ci in (self.ci95, self.ci90))
            margin = float(function(self.margin))
        return replace(self, difference=difference, ci95=ci95, ci90=ci90, margin=margin, ratio=ratio)


@dataclass(frozen=True)
class Wins:
    """Pairs in which a is better, b is better, or neither."""

    a: int
    b: int
    ties: int
    share: float | None  # of a, ties counted one half; None without pairs
    ci95: Interval | None


@dataclass(frozen=True)
class RunsNeeded:
    """More runs of each contender to settle a comparison: 0 if they are enough, None if no number would be."""

    difference: int | None  # to show that the two differ
    equivalence: int | None  # to show that they are equivalent within the margin


@dataclass(frozen=True)
class DifferenceChange:
    """A difference a - b in paired runs and in unpaired ones, and by how much the second exceeds the first."""

    n_paired: int  # pairs
    n_unpaired: int  # the runs of the smaller side
    paired: float | None
    unpaired: float | None
    change: float | None  # unpaired - paired
    ci95: Interval | None  # of the change


@dataclass(frozen=True)
class Agreement:
    """How far two runs predict the same classes."""

    n: int  # images
    share: float | None  # of the images on which both predict the same class; None without images
    p_mcnemar: float | None  # two-sided, exact: whether one is right more often; None without labels


def paired_comparison(a: ArrayLike, b: ArrayLike, margin: float) -> Comparison:
    """Compare a - b pair by pair, both of shape (runs,), against +-margin (paired t test; Schuirmann's TOST).

    Below two pairs there is only the difference. Pairs that all differ by the same amount leave no doubt: the intervals
    are that point and each p is 0 or 1. Raises ValueError for unequal lengths, values that are not finite, or a margin
    that is not positive.
    """
    a, b = _finite(a), _finite(b)
    _in_pairs(a, b)
    bare = _bare_comparison(a, b, margin, paired=True)
    if bare.n < 2:
        return bare
    if _constant(a - b, _rounding(a, b)):
        return _without_spread(bare)
    p_equivalence, _, _ = ttost_paired(a, b, -margin, margin)
    return _tested(bare, stats.ttest_rel(a, b), p_equivalence)


def welch_comparison(a: ArrayLike, b: ArrayLike, margin: float) -> Comparison:
    """Compare the means of a and b, shapes (runs_a,) and (runs_b,), against +-margin (Welch's t test; TOST).

    Below two runs on a side there is only the difference, and without runs on a side not even that. Two sides without
    spread leave no doubt: the intervals are a point and each p is 0 or 1. Raises ValueError for values that are not
    finite or a margin that is not positive.
    """
    a, b = _finite(a), _finite(b)
    bare = _bare_comparison(a, b, margin, paired=False)
    if bare.n < 2:
        return bare
    rounding = _rounding(a, b)
    a, b = (np.full_like(side, side[0]) if _constant(side, rounding) else side for side in (a, b))
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
    a, b = _finite(a), _finite(b)
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
    a, b, c, d = (_finite(values) for values in (paired_a, paired_b, unpaired_a, unpaired_b))
    _in_pairs(a, b)
    paired, unpaired = _difference(a, b), _difference(c, d)
    found = DifferenceChange(len(a), min(len(c), len(d)), paired, unpaired, None, None)
    if paired is None or unpaired is None:
        return found
    change = unpaired - paired
    half = _half_width(a - b, c, d)
    return replace(found, change=change, ci95=None if half is None else (change - half, change + half))


def runs_needed(comparison: Comparison) -> RunsNeeded:
    """About how many more runs of each contender would settle the comparison, were mean and spread to stay.

    N = ceil((t s / h)^2) - n: h is |difference|, with the 95 % interval's t, to show a difference; and margin -
    |difference|, with the 90 % interval's t, to show equivalence. t has today's degrees of freedom, which errs on the
    side of more runs. Unpaired sides grow alike, from the larger. (None, None) where there is no interval yet.
    """
    logs = comparison.additive()
    if logs.difference is None or logs.ci95 is None or logs.ci90 is None:
        return RunsNeeded(None, None)
    n, distance = max(logs.n_a, logs.n_b), abs(logs.difference)
    return RunsNeeded(_more_runs(n, logs.ci95, distance), _more_runs(n, logs.ci90, logs.margin - distance))


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The t interval of a mean over values of shape (runs,); None below two. Raises ValueError if any is not finite."""
    values = _finite(values)
    if len(values) < 2:
        return None
    if _constant(values, _rounding(values)):
        return float(values[0]), float(values[0])
    _, low, high = pointwise_band(values[:, np.newaxis], confidence)
    return float(low[0]), float(high[0])


def pointwise_band(curves: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high of shape (epochs,) over curves of shape (runs, epochs): a t interval at each epoch.

    It holds epoch by epoch, not for the whole curve at once. Below two runs low and high are NaN; without runs the mean
    is too. Raises ValueError for another shape, values that are not finite, or a confidence not between 0 and 1.
    """
    curves = _curves(curves, confidence)
    return _band(curves, _pointwise_t(len(curves), confidence))


def simultaneous_band(
    curves: ArrayLike, confidence: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high of shape (epochs,) over curves of shape (runs, epochs): a band for the whole mean curve.

    As often as `confidence` says, the true mean lies inside at every epoch at once. The band is mean +- q times its
    standard error; q is that quantile of the largest |t| over the epochs when each run's residuals get one random sign
    (the multiplier-t bootstrap with Rademacher signs: Telschow & Schwartzman 2022, J. Stat. Plan. Inference 216), and
    never below the t quantile of one epoch. Below 8 runs q is Bonferroni's t quantile, and where values are so few and
    coarse that the bootstrap finds none. Below two runs low and high are NaN; without runs the mean is too. Raises
    ValueError as `pointwise_band` does.
    """
    curves = _curves(curves, confidence)
    runs, epochs = curves.shape
    enough = epochs > 0 and runs >= _RUNS_FOR_A_BOOTSTRAP_BAND
    found = float(np.quantile(_largest_t(curves, rng), confidence, method="higher")) if enough else np.inf
    if not isfinite(found):
        return _band(curves, _pointwise_t(runs, 1 - (1 - confidence) / max(epochs, 1)))
    return _band(curves, max(found, _pointwise_t(runs, confidence)))


def standard_deviation(values: ArrayLike) -> float | None:
    """The standard deviation (ddof 1) of values of shape (runs,); None below two.

    It is 0 exactly if all are equal to the last bit: here a spread as small as rounding does count, for it is what
    tells runs that reproduce from runs that almost do. Raises ValueError for values that are not finite.
    """
    values = _finite(values)
    if len(values) < 2:
        return None
    return float((values - values[0]).std(ddof=1))  # from the first, so that the mean's own rounding is no spread


def sd_interval(values: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The chi-square interval of a standard deviation over values of shape (runs,); None below two.

    It is (0, 0) without spread, else from s sqrt((n - 1) / high) to s sqrt((n - 1) / low), where high and low are the
    chi-square quantiles of n - 1 degrees of freedom at (1 + confidence) / 2 and (1 - confidence) / 2 (NIST/SEMATECH
    e-Handbook of Statistical Methods, 7.2.3.1). It supposes a normal distribution, more than an interval of a mean
    does. Raises ValueError for values that are not finite or a confidence not between 0 and 1.
    """
    _check_confidence(confidence)
    values = _finite(values)
    sd = standard_deviation(values)
    if sd is None:
        return None
    df = len(values) - 1
    high, low = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], df)
    return _interval(sd * np.sqrt(df / np.array([high, low])))


def wins(a: ArrayLike, b: ArrayLike, *, higher_is_better: bool = True) -> Wins:
    """Count who wins each pair, with the exact (Clopper-Pearson) 95 % interval of a's share of the wins.

    A failed run is a loss: give it as the worst infinity, and two failures tie. An odd number of ties leaves half a win
    over, which the interval counts against its low end and for its high end. Raises ValueError for unequal lengths or
    NaN.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape or np.isnan(a).any() or np.isnan(b).any():
        raise ValueError(f"Wins need two lists of equal length without NaN, not shapes {a.shape} and {b.shape}")
    more, fewer = int((a > b).sum()), int((a < b).sum())
    won, lost = (more, fewer) if higher_is_better else (fewer, more)
    ties, n = len(a) - won - lost, len(a)
    if n == 0:
        return Wins(0, 0, 0, None, None)
    low = stats.binomtest(won + ties // 2, n).proportion_ci(0.95, "exact").low
    high = stats.binomtest(n - lost - ties // 2, n).proportion_ci(0.95, "exact").high
    return Wins(won, lost, ties, (won + ties / 2) / n, (float(low), float(high)))


def agreement(pred_a: ArrayLike, pred_b: ArrayLike, labels: ArrayLike | None = None) -> Agreement:
    """How far two runs predict the same classes, both of shape (images,); with labels, of that shape, McNemar's test.

    McNemar's exact test (1947) asks whether, of the images on which only one of the two is right, it is a as often as
    b. It judges two trained networks, not two ways of training them. Raises ValueError for another or unequal shapes.
    """
    a, b = np.asarray(pred_a), np.asarray(pred_b)
    shapes = [side.shape for side in (a, b, *([] if labels is None else [np.asarray(labels)]))]
    if a.ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(f"Predictions and labels must be of one shape (images,), not {' and '.join(map(str, shapes))}")
    share = float((a == b).mean()) if len(a) else None
    return Agreement(len(a), share, None if labels is None else _mcnemar(a == labels, b == labels))


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


def outliers(values: ArrayLike) -> np.ndarray:
    """Which values, shape (runs,), lie more than 14.826 median absolute deviations (MAD) from the median: bool (runs,).

    Where more than half of the values are equal the MAD is zero, and whatever differs from them by more than rounding
    is flagged. They are there to be flagged, never dropped. Raises ValueError for values that are not finite.
    """
    values = _finite(values)
    if len(values) == 0:
        return np.zeros(0, bool)
    distances = np.abs(values - np.median(values))
    return distances > max(_OUTLIER_MADS * np.median(distances), _rounding(values))


def _finite(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("Values must be finite and of shape (runs,)")
    return array


def _curves(curves: ArrayLike, confidence: float) -> np.ndarray:
    array = np.asarray(curves, float)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError("Curves must be finite and of shape (runs, epochs)")
    _check_confidence(confidence)
    return array


def _pointwise_t(runs: int, confidence: float) -> float:
    """The two-sided t quantile of a mean of so many runs; NaN below two."""
    return float(stats.t.ppf((1 + confidence) / 2, runs - 1)) if runs > 1 else np.nan


def _band(curves: np.ndarray, quantile: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    runs, epochs = curves.shape
    nothing = np.full(epochs, np.nan)
    mean = curves.mean(axis=0) if runs else nothing
    if runs < 2:
        return mean, nothing, nothing
    half = quantile * curves.std(axis=0, ddof=1) / np.sqrt(runs)
    return mean, mean - half, mean + half


def _largest_t(curves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest |t| over the epochs, (draws,), each draw with its own sign for each run's residuals.

    Epochs without spread are left out: their band is a point.
    """
    runs = len(curves)
    spread = np.ptp(curves, axis=0) > 0
    if not spread.any():
        return np.zeros(_SIGN_DRAWS)
    residuals = (curves - curves.mean(axis=0))[:, spread] / curves.std(axis=0, ddof=1)[spread]
    signs = rng.choice((-1.0, 1.0), (_SIGN_DRAWS, runs))
    sums, squares = signs @ residuals, (residuals**2).sum(axis=0)  # a sign squared is 1
    variances = (squares - sums**2 / runs) / (runs - 1)
    variances[variances < _ROUNDING] = 0  # all of one size, and by chance of one sign: t is infinite
    with np.errstate(divide="ignore"):
        return np.abs(sums / np.sqrt(runs * variances)).max(axis=1)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence lies between 0 and 1, not at {confidence}")


def _rounding(*sides: np.ndarray) -> float:
    return _ROUNDING * float(np.abs(np.concatenate(sides)).max(initial=1))


def _constant(values: np.ndarray, rounding: float) -> bool:
    return bool(np.ptp(values) <= rounding)


def _in_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise ValueError(f"Paired values must come in pairs, not {len(a)} and {len(b)}")


def _interval(ends: Iterable[float]) -> Interval:
    low, high = ends
    return float(low), float(high)


def _bare_comparison(a: np.ndarray, b: np.ndarray, margin: float, paired: bool) -> Comparison:
    if not (isfinite(margin) and margin > 0):
        raise ValueError(f"The margin must be positive, not {margin}")
    correlation = _correlation(a, b) if paired else None
    n = min(len(a), len(b))
    return Comparison(n, len(a), len(b), _difference(a, b), None, None, None, None, margin, paired, correlation)


def _difference(a: np.ndarray, b: np.ndarray) -> float | None:
    """Of the means; None without values on a side."""
    if not (len(a) and len(b)):
        return None
    difference = float(a.mean() - b.mean())
    return 0.0 if abs(difference) <= _rounding(a, b) else difference


def _half_width(*samples: np.ndarray) -> float | None:
    """Of the 95 % t interval of a sum or difference of the samples' means; None if any has less than two values."""
    if min(map(len, samples)) < 2:
        return None
    variances = np.array([x.var(ddof=1) / len(x) for x in samples])
    if not variances.any():
        return 0.0
    df = variances.sum() ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(variances, samples, strict=True))
    return float(stats.t.ppf(0.975, df) * np.sqrt(variances.sum()))


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's; None where it says nothing: below three pairs, or where a side has no spread."""
    if len(a) < 3 or _constant(a, _rounding(a)) or _constant(b, _rounding(b)):
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    table = [[int((in_a & in_b).sum()) for in_b in (right_b, ~right_b)] for in_a in (right_a, ~right_a)]
    return float(mcnemar(table, exact=True).pvalue)


def _without_spread(bare: Comparison) -> Comparison:
    """Without spread the point is the interval: nothing is left to chance, so each p is 0 or 1."""
    point = bare.difference or 0.0
    p_difference, p_equivalence = float(point == 0), float(abs(point) >= bare.margin)
    ci = (point, point)
    return replace(bare, ci95=ci, ci90=ci, p_difference=p_difference, p_equivalence=p_equivalence)


def _tested(bare: Comparison, test: Any, p_equivalence: float) -> Comparison:
    """Fill in what a SciPy t test found."""
    ci95, ci90 = (_interval(test.confidence_interval(confidence)) for confidence in (0.95, 0.90))
    return replace(bare, ci95=ci95, ci90=ci90, p_difference=float(test.pvalue), p_equivalence=float(p_equivalence))


def _more_runs(n: int, interval: Interval, distance: float) -> int | None:
    """Runs beyond n until half the interval, which shrinks by the root of their number, is below the distance."""
    if distance <= 0:
        return None
    times_too_wide = (interval[1] - interval[0]) / 2 / distance
    if times_too_wide < 1:
        return 0
    total = n * times_too_wide * times_too_wide
    return max(ceil(total) - n, 1) if isfinite(total) else None
