"""Saved weights may be anyone's file: checks before and after a framework unpacks it, and how it is refused."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lenet.network import Weights
from runners.core.errors import BadInput

LARGEST = 16 * 2**20  # bytes: the network's 44,426 float32 numbers take 174 KiB, and file formats add little


@contextmanager
def refused_in_a_sentence(checkpoint: Path, framework: str) -> Iterator[None]:
    """Turn whatever a damaged or hostile file raises into BadInput, and keep the library's own words off the screen.

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
    """Raise BadInput if any weight is NaN or infinite, for what such a network sees means nothing."""
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise BadInput("some of them are not finite numbers")


def check_size(size: int) -> None:
    """Raise BadInput if a file, or what it unpacks to, has more bytes than this network's weights can have."""
    if size > LARGEST:
        raise BadInput(f"it takes {size / 2**20:,.1f} MiB, and at most {LARGEST // 2**20} are read")
