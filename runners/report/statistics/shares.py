"""Which contender wins: pair by pair, and run against run."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from runners.report.statistics.samples import Interval

_NEARLY = 1e-9


@dataclass(frozen=True)
class Wins:
    """Pairs in which a is better, b is better, or neither."""

    a: int
    b: int
    ties: int
    share: float | None  # of a, ties counted one half; None without pairs
    ci95: Interval | None


@dataclass(frozen=True)
class Improvement:
    """How probable it is that a run of a is better than one of b, ties counted one half."""

    probability: float | None  # None without runs on both sides
    ci95: Interval | None


def wins(a: ArrayLike, b: ArrayLike, *, higher_is_better: bool = True) -> Wins:
    """Count who wins each pair, with the exact (Clopper-Pearson) 95 % interval of a's share of the wins.

    A failed run is a loss: give it as the worst infinity, and two failures tie. An odd number of ties leaves half a win
    over, which the interval counts against its low end and for its high end. Raises ValueError for unequal lengths or
    NaN.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape or _any_nan(a, b):
        raise ValueError(f"Wins need two lists of equal length without NaN, not shapes {a.shape} and {b.shape}")
    more, fewer = int((a > b).sum()), int((a < b).sum())
    won, lost = (more, fewer) if higher_is_better else (fewer, more)
    ties, n = len(a) - won - lost, len(a)
    if n == 0:
        return Wins(0, 0, 0, None, None)
    low = stats.binomtest(won + ties // 2, n).proportion_ci(0.95, "exact").low
    high = stats.binomtest(n - lost - ties // 2, n).proportion_ci(0.95, "exact").high
    return Wins(won, lost, ties, (won + ties / 2) / n, (float(low), float(high)))


def probability_of_improvement(a: ArrayLike, b: ArrayLike, *, higher_is_better: bool = True) -> Improvement:
    """Return P(a run of a is better than a run of b), ties one half, for unpaired runs; shapes (runs_a,), (runs_b,).

    Every run of a meets every run of b: Mann and Whitney's U / (runs_a runs_b). The 95 % interval is Newcombe's (2006,
    Statistics in Medicine 25: 559-573, method 5), which holds its level at few runs and where one side wins throughout.
    A failed run is a loss: give it as the worst infinity. Raises ValueError for NaN or another shape.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or b.ndim != 1 or _any_nan(a, b):
        raise ValueError(f"Runs must be without NaN and of shape (runs,), not {a.shape} and {b.shape}")
    if not (len(a) and len(b)):
        return Improvement(None, None)
    better, worse = (a, b) if higher_is_better else (b, a)
    above = (better[:, np.newaxis] > worse).mean() + (better[:, np.newaxis] == worse).mean() / 2
    return Improvement(float(above), _newcombe(float(above), len(a), len(b)))


def noether_pairs(gamma: float, alpha: float = 0.05, beta: float = 0.05) -> int | None:
    """About how many runs of each of two sides show that one is better with a probability of gamma, and not by chance.

    N = ceil((z_alpha + z_beta)^2 / (6 (gamma - 1/2)^2)): of Mann and Whitney's test, one-sided at level alpha and with
    power 1 - beta (Noether 1987, Sample size determination for some common nonparametric tests; Bouthillier et al. 2021
    choose their 29 runs so). None at gamma = 1/2, which no number tells from chance. Raises ValueError unless all three
    lie within 0 to 1, alpha and beta strictly.
    """
    if not (0 <= gamma <= 1 and 0 < alpha < 1 and 0 < beta < 1):
        raise ValueError(f"Probabilities lie within 0 to 1, not at {gamma}, {alpha} and {beta}")
    if abs(gamma - 1 / 2) < _NEARLY:
        return None
    return ceil((stats.norm.isf(alpha) + stats.norm.isf(beta)) ** 2 / (6 * (gamma - 1 / 2) ** 2))


def _newcombe(share: float, runs_a: int, runs_b: int) -> Interval:
    """The true shares from which the one found is 1.96 standard errors away.

    Their variance is Hanley and McNeil's (1982), which has only the share itself to know.
    """
    z, others = float(stats.norm.ppf(0.975)), (runs_a + runs_b) / 2 - 1

    def beyond(true: float) -> float:
        spread = 1 + others * ((1 - true) / (2 - true) + true / (1 + true))
        return (true - share) ** 2 - z * z * true * (1 - true) * spread / (runs_a * runs_b)

    inside = min(max(share, _NEARLY), 1 - _NEARLY)  # where it is 0 or 1, a root lies at that end too
    low = optimize.brentq(beyond, 0, inside) if share > 0 else 0.0
    high = optimize.brentq(beyond, inside, 1) if share < 1 else 1.0
    return low, high


def _any_nan(*sides: np.ndarray) -> bool:
    return any(np.isnan(side).any() for side in sides)
