"""How far runs of one contender spread, and which lie far out."""

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
