"""One contender's runs: their mean with its interval, their mean curve with its band, their spread, their outliers.

Intervals of means are t intervals: with as few runs as a study has, a percentile bootstrap covers far too little
(75 % at n = 3, for a nominal 95 %).
"""

from math import ceil, isfinite

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from runners.report.statistics.samples import (
    ROUNDING,
    Interval,
    as_interval,
    check_confidence,
    finite,
    is_constant,
    rounding_of,
)

_RUNS_FOR_A_BOOTSTRAP_BAND = 8  # fewer have too few patterns of signs
_SIGN_DRAWS = 2_000
_OUTLIER_MADS = 14.826  # ten standard deviations: for a normal distribution 1.4826 MAD is one (hyperfine's rule)


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The t interval of a mean over values of shape (runs,); None below two. Raises ValueError if any is not finite."""
    values = finite(values)
    if len(values) < 2:
        return None
    if is_constant(values, rounding_of(values)):
        return float(values[0]), float(values[0])
    _, low, high = pointwise_band(values[:, np.newaxis], confidence)
    return float(low[0]), float(high[0])


def pointwise_band(curves: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high of shape (epochs,) over curves of shape (runs, epochs): a t interval at each epoch.

    It holds epoch by epoch, not for the whole curve at once. Below two runs low and high are NaN; without runs the mean
    is too. Raises ValueError for another shape, values that are not finite, or a confidence not between 0 and 1.
    """
    curves = _curves(curves, confidence)
    return _band(curves, _t(len(curves), confidence))


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
        return _band(curves, _t(runs, 1 - (1 - confidence) / max(epochs, 1)))
    return _band(curves, max(found, _t(runs, confidence)))


def _curves(curves: ArrayLike, confidence: float) -> np.ndarray:
    array = np.asarray(curves, float)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError("Curves must be finite and of shape (runs, epochs)")
    check_confidence(confidence)
    return array


def _t(runs: int, confidence: float) -> float:
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
    variances[variances < ROUNDING] = 0  # all of one size, and by chance of one sign: t is infinite
    with np.errstate(divide="ignore"):
        return np.abs(sums / np.sqrt(runs * variances)).max(axis=1)


def standard_deviation(values: ArrayLike) -> float | None:
    """The standard deviation (ddof 1) of values of shape (runs,); None below two.

    It is 0 exactly if all are equal to the last bit: here a spread as small as rounding does count, for it is what
    tells runs that reproduce from runs that almost do. Raises ValueError for values that are not finite.
    """
    values = finite(values)
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
    check_confidence(confidence)
    values = finite(values)
    sd = standard_deviation(values)
    if sd is None:
        return None
    df = len(values) - 1
    high, low = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], df)
    return as_interval(sd * np.sqrt(df / np.array([high, low])))


def outliers(values: ArrayLike) -> np.ndarray:
    """Which values, shape (runs,), lie more than 14.826 median absolute deviations (MAD) from the median: bool (runs,).

    Where more than half of the values are equal the MAD is zero, and whatever differs from them by more than rounding
    is flagged. They are there to be flagged, never dropped. Raises ValueError for values that are not finite.
    """
    values = finite(values)
    if len(values) == 0:
        return np.zeros(0, bool)
    distances = np.abs(values - np.median(values))
    return distances > max(_OUTLIER_MADS * np.median(distances), rounding_of(values))


def half_width(sd: float, runs: int, confidence: float = 0.95) -> float | None:
    """Return half the t interval of the mean of so many runs of this standard deviation: t sd / sqrt(runs).

    None below two runs. Raises ValueError for a confidence not between 0 and 1.
    """
    check_confidence(confidence)
    return float(_t(runs, confidence) * sd / np.sqrt(runs)) if runs > 1 else None


def stein_runs(pilot: ArrayLike, wanted: float, confidence: float = 0.95) -> int | None:
    """Return how many runs, the pilot's among them, make the interval of the mean no wider than +-`wanted`.

    max(n, ceil((t s / wanted)^2)), with n, s and the degrees of freedom of t from the pilot alone (Stein 1945, A
    two-sample test for a linear hypothesis whose power is independent of the variance). None below two values. Raises
    ValueError for values that are not finite, or a half-width that is not positive.
    """
    check_confidence(confidence)
    if not (isfinite(wanted) and wanted > 0):
        raise ValueError(f"A half-width must be positive, not {wanted}")
    runs, sd = len(finite(pilot)), standard_deviation(pilot)
    return None if sd is None else max(runs, ceil((_t(runs, confidence) * sd / wanted) ** 2))


def stein_half_width(pilot: ArrayLike, runs: int, confidence: float = 0.95) -> float | None:
    """Return half the interval of the mean over so many runs, the pilot's among them.

    It is t s / sqrt(runs), with t and s from the pilot alone; where all runs are the pilot, it is half the t interval.
    None below two values in the pilot. Raises ValueError as `sd_interval` does.
    """
    check_confidence(confidence)
    sd = standard_deviation(pilot)
    return None if sd is None else float(_t(len(finite(pilot)), confidence) * sd / np.sqrt(runs))


def stein_interval(pilot: ArrayLike, top_up: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The interval of the mean over a pilot and its one top-up, by `stein_half_width`.

    That the top-up's number came from the pilot's spread does not touch its level (Stein 1945), which it would were the
    spread taken anew. None below two values in the pilot. Raises ValueError for values that are not finite.
    """
    runs = np.concatenate([finite(pilot), finite(top_up)])
    half = stein_half_width(pilot, len(runs), confidence)
    return None if half is None else as_interval((runs.mean() - half, runs.mean() + half))
