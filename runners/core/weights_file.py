"""Checks of a file with saved weights, which may be anyone's, before and after a framework unpacks it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lenet.network import Weights
from runners.core.errors import BadInput

LARGEST = 16 * 2**20  # bytes; the network's 44,426 float32 numbers take 174 KiB, and file formats add little


@contextmanager
def refused_in_a_sentence(checkpoint: Path, framework: str) -> Iterator[None]:
    """Turn every error from a damaged or hostile file into BadInput, and hide the library's warnings.

    A library may print pages, and advise to load the file unsafely.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            check_size(checkpoint.stat().st_size)
            yield
    except Exception as error:
        why = error if isinstance(error, BadInput) else "only what a run with --checkpoint leaves is read"
        raise BadInput(f"{checkpoint} does not hold this network's {framework} weights: {why}") from error


def check_finite(weights: Weights) -> None:
    """Raise BadInput if any weight is NaN or infinite, since the predictions would mean nothing."""
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise BadInput("some of them are not finite numbers")


def check_size(size: int) -> None:
    """Raise BadInput if a file, packed or unpacked, has more bytes than this network's weights can have."""
    if size > LARGEST:
        raise BadInput(f"it takes {size / 2**20:,.1f} MiB, and at most {LARGEST // 2**20} are read")
