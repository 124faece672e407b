"""What every statistic asks of the values it is given."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

Interval = tuple[float, float]

ROUNDING = 1e-12  # relative to the largest value, absolute below 1: what float64 sums and logs leave behind


def finite(values: ArrayLike) -> np.ndarray:
    """Values as floats; raises ValueError unless they are finite and of shape (runs,)."""
    array = np.asarray(values, float)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("Values must be finite and of shape (runs,)")
    return array


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless it lies between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence lies between 0 and 1, not at {confidence}")


def rounding_of(*sides: np.ndarray) -> float:
    """By how much values of this size may differ and still count as equal."""
    return ROUNDING * float(np.abs(np.concatenate(sides)).max(initial=1))


def is_constant(values: np.ndarray, rounding: float) -> bool:
    """Whether none of the values, at least one, differs from another by more than that."""
    return bool(np.ptp(values) <= rounding)


def check_pairs(a: np.ndarray, b: np.ndarray) -> None:
    """Raise ValueError unless there are as many of a as of b."""
    if len(a) != len(b):
        raise ValueError(f"Paired values must come in pairs, not {len(a)} and {len(b)}")


def as_interval(ends: Iterable[float]) -> Interval:
    """Low and high as plain floats."""
    low, high = ends
    return float(low), float(high)
