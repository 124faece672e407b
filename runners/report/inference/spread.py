"""How far runs of one contender spread, and which lie far out."""

from math import ceil, isfinite

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from runners.report.inference.samples import Interval, as_interval, check_confidence, finite, rounding_of

_OUTLIER_MADS = 14.826  # ten standard deviations: for a normal distribution 1.4826 MAD is one (hyperfine's rule)


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


def half_width(values: ArrayLike, runs: int, confidence: float = 0.95) -> float | None:
    """Half the t interval of the mean of so many runs, were they to spread as values of shape (runs,) do.

    None below two values or two runs. Raises ValueError as `sd_interval` does.
    """
    sd = standard_deviation(values)
    return None if sd is None else half_width_of(sd, runs, confidence)


def half_width_of(sd: float, runs: int, confidence: float = 0.95) -> float | None:
    """Half the t interval of the mean of so many runs of this standard deviation: t sd / sqrt(runs).

    None below two runs. Raises ValueError for a confidence not between 0 and 1.
    """
    check_confidence(confidence)
    return float(stats.t.ppf((1 + confidence) / 2, runs - 1) * sd / np.sqrt(runs)) if runs > 1 else None


def stein_runs(pilot: ArrayLike, wanted: float, confidence: float = 0.95) -> int | None:
    """How many runs, those of the pilot among them, make the interval of the mean no wider than +-`wanted`.

    max(n, ceil((t s / wanted)^2)), with n, s and the degrees of freedom of t from the pilot alone (Stein 1945, A
    two-sample test for a linear hypothesis whose power is independent of the variance). None below two values. Raises
    ValueError for values that are not finite, or a half-width that is not positive.
    """
    pilot = finite(pilot)
    check_confidence(confidence)
    if not (isfinite(wanted) and wanted > 0):
        raise ValueError(f"A half-width must be positive, not {wanted}")
    sd = standard_deviation(pilot)
    if sd is None:
        return None
    return max(len(pilot), ceil((stats.t.ppf((1 + confidence) / 2, len(pilot) - 1) * sd / wanted) ** 2))


def stein_half_width(pilot: ArrayLike, runs: int, confidence: float = 0.95) -> float | None:
    """Half the interval of the mean over so many runs, those of the pilot among them.

    It is t s / sqrt(runs), with t and s from the pilot alone. None below two values in the pilot. Raises ValueError as
    `sd_interval` does.
    """
    check_confidence(confidence)
    pilot = finite(pilot)
    sd = standard_deviation(pilot)
    if sd is None:
        return None
    return float(stats.t.ppf((1 + confidence) / 2, len(pilot) - 1) * sd / np.sqrt(runs))


def stein_interval(pilot: ArrayLike, top_up: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The interval of the mean over a pilot and its one top-up, by `stein_half_width`.

    That the top-up's number came from the pilot's spread does not touch its level (Stein 1945), which it would were the
    spread taken anew. None below two values in the pilot. Raises ValueError for values that are not finite.
    """
    runs = np.concatenate([finite(pilot), finite(top_up)])
    half = stein_half_width(pilot, len(runs), confidence)
    return None if half is None else as_interval((runs.mean() - half, runs.mean() + half))
