"""Intervals of one contender's mean, of a whole curve's, and of anything else from enough runs."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from runners.report.inference.samples import (
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
_RUNS_FOR_A_BOOTSTRAP = 20


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


def bca_interval(
    values: ArrayLike, statistic: Callable[[np.ndarray], Any], rng: np.random.Generator, confidence: float = 0.95
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of a statistic (Efron 1987) of values of shape (runs,).

    `statistic` takes values of shape (runs,) to a number. Raises ValueError below 20 values, where such an interval
    covers too little; for values that are not finite; and for a confidence not between 0 and 1.
    """
    values = finite(values)
    check_confidence(confidence)
    if len(values) < _RUNS_FOR_A_BOOTSTRAP:
        raise ValueError(f"A bootstrap interval needs {_RUNS_FOR_A_BOOTSTRAP} values, not {len(values)}")
    if is_constant(values, rounding_of(values)):
        return (float(statistic(values)),) * 2
    found = stats.bootstrap((values,), statistic, vectorized=False, confidence_level=confidence, method="BCa", rng=rng)
    return as_interval(found.confidence_interval)


def _curves(curves: ArrayLike, confidence: float) -> np.ndarray:
    array = np.asarray(curves, float)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError("Curves must be finite and of shape (runs, epochs)")
    check_confidence(confidence)
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
    variances[variances < ROUNDING] = 0  # all of one size, and by chance of one sign: t is infinite
    with np.errstate(divide="ignore"):
        return np.abs(sums / np.sqrt(runs * variances)).max(axis=1)
