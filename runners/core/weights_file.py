"""Saved weights may be anyone's file: what is looked at before a framework unpacks it, and how it is refused."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from lenet.network import Weights
from runners.core.errors import BadInput

LARGEST = 16 * 2**20  # bytes: the network's 44,426 float32 numbers take 174 KiB, and file formats add little


@contextmanager
def refused_in_a_sentence(checkpoint: Path, framework: str) -> Iterator[None]:
    """Turn whatever a damaged or hostile file raises into BadInput, and keep the library's own words off the screen.

    Those run over pages, and PyTorch's advise to load the file unsafely.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            _check_size(checkpoint.stat().st_size)
            yield
    except Exception as error:
        why = error if isinstance(error, BadInput) else "only what a run with --checkpoint leaves is read"
        raise BadInput(f"{checkpoint} does not hold this network's {framework} weights: {why}") from error


def check_zip(checkpoint: Path) -> None:
    """Raise BadInput if a file of PyTorch's would unpack to more than it is; torch.save compresses nothing."""
    with zipfile.ZipFile(checkpoint) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadInput("it is compressed, and may not be")
    _check_size(sum(member.file_size for member in members))


def check_hdf5(checkpoint: Path) -> None:
    """Raise BadInput if a file of Keras's would unpack to more than it is, or leads elsewhere; Keras writes neither."""
    import h5py  # type: ignore[import-untyped]  # comes with Keras, and PyTorch's environment may lack it

    datasets: list[h5py.Dataset] = []
    with h5py.File(checkpoint, "r") as file:
        if file.visititems_links(lambda _, link: None if isinstance(link, h5py.HardLink) else True):
            raise BadInput("it holds links, and may not")
        file.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        for dataset in datasets:
            # Chunks, which alone can be compressed, and virtual data have other layouts; external data has this one.
            if dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS or dataset.external:
                raise BadInput("its numbers are compressed or elsewhere, and may not be")
        _check_size(sum(prod(dataset.shape) * dataset.dtype.itemsize for dataset in datasets))


def check_finite(weights: Weights) -> None:
    """Raise BadInput if any weight is NaN or infinite, for what such a network sees means nothing."""
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise BadInput("some of them are not finite numbers")


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise BadInput(f"it takes {size / 2**20:,.1f} MiB, and at most {LARGEST // 2**20} are read")
