"""Find, fetch, verify and load Fashion-MNIST, with NumPy only.

The SHA-256 of the *decompressed* bytes is always checked, since mirrors compress the same images differently.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from lenet.network import CLASS_NAMES, IMAGE_SIDE

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
TRAIN_IMAGES, TEST_IMAGES = 60_000, 10_000
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("usr/share/datasets/fashion-mnist")
DOWNLOAD_TIMEOUT_SECONDS = 20


class DataError(ValueError):
    """A Fashion-MNIST file is missing, damaged or not Fashion-MNIST."""


@dataclass(frozen=True)
class FashionMnist:
    """The data set as published: images uint8 (n, 28, 28), labels uint8 (n,), and one SHA-256 over all four files."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    sha256: str

    def first(self, train_images: int, test_images: int | None = None) -> "FashionMnist":
        """Return the data with only its first training and test images; None means all test images."""
        return FashionMnist(
            self.train_images[:train_images],
            self.train_labels[:train_images],
            self.test_images[:test_images],
            self.test_labels[:test_images],
            self.sha256,
        )


def scale(images: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Scale grey values 0..255 to floats in [0, 1] and add a channel axis: (n, 28, 28) -> (n, 28, 28, 1)."""
    return np.divide(images[..., np.newaxis], 255, dtype=dtype)


def load(data_dir: Path | None = None) -> FashionMnist:
    """Load and verify Fashion-MNIST from `data_dir`, or else from the first place that has it; fetch it if none does.

    Raises DataError if `data_dir` lacks the data set, or if every place fails; the message has each place's error.
    """
    if data_dir is not None:
        return read_folder(data_dir)
    failures: list[str] = []
    for place, fetch in _places():
        try:
            return fetch()
        except (OSError, HTTPException, DataError, subprocess.SubprocessError) as error:
            failures.append(f"  {place}: {error}")
    raise DataError(
        "Fashion-MNIST was not found. Tried, in this order:\n"
        + "\n".join(failures)
        + "\nPut the four .gz files into a folder and name it with --data-dir."
    )


def read_folder(folder: Path, sha256: Mapping[str, str] = SHA256) -> FashionMnist:
    """Read the four files, gzipped or not. Raises DataError that names a missing, damaged or changed file."""
    contents = {name: _read_verified(folder, name, expected) for name, expected in sha256.items()}
    train_images, train_labels, test_images, test_labels = contents.values()
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        if len(images) != len(labels):
            raise DataError(f"{folder} has {len(images)} images but {len(labels)} labels in one of its two halves")
    digest = hashlib.sha256("".join(sha256.values()).encode()).hexdigest()
    return FashionMnist(train_images, train_labels, test_images, test_labels, digest)


def cache_folder() -> Path:
    """Return the folder for fetched data, below $XDG_CACHE_HOME/level-field, by default ~/.cache/level-field."""
    root = os.environ.get("XDG_CACHE_HOME") or _home() / ".cache"
    return Path(root) / "level-field" / "fashion-mnist"


def _debian_folder() -> Path:
    return Path("/") / DEBIAN_FOLDER


def _keras_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME") or _home() / ".keras") / "datasets" / "fashion-mnist"


def _home() -> Path:
    """Return the user's home folder. Raises DataError if none is known, as for a user without an account entry."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise DataError("no home folder is known; set HOME, XDG_CACHE_HOME or KERAS_HOME") from error


def _places() -> list[tuple[str, Callable[[], FashionMnist]]]:
    return [
        *(
            (_name(find), lambda find=find: read_folder(find()))
            for find in (_keras_folder, _debian_folder, cache_folder)
        ),
        *((mirror, lambda mirror=mirror: _cached(lambda into: _download(mirror, into))) for mirror in MIRRORS),
        (f"Debian package {DEBIAN_PACKAGE}", lambda: _cached(_unpack_debian_package)),
    ]


def _name(find: Callable[[], Path]) -> str:
    try:
        return str(find())
    except DataError:
        return "a folder below the home folder"


def _read_verified(folder: Path, name: str, expected: str) -> np.ndarray:
    # os.path.exists, since Path.exists raises for a folder without permission.
    path = next((p for p in (folder / f"{name}.gz", folder / name) if os.path.exists(p)), None)  # noqa: PTH110
    if path is None:
        raise DataError(f"{folder} holds no {name}.gz (a folder with {', '.join(f'{n}.gz' for n in SHA256)} is needed)")
    content = _decompressed(path)
    array = _parse_idx(path, content, images="images" in name)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise DataError(f"{path} is not the published file: its decompressed SHA-256 is {actual}, expected {expected}")
    return array


def _decompressed(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or not gzip ({error}); delete it and fetch it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _parse_idx(path: Path, content: bytes, *, images: bool) -> np.ndarray:
    """Return an IDX file's unsigned bytes (format: yann.lecun.com/exdb/mnist) after checks of shape and labels."""
    dimensions = 3 if images else 1
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{path} is not an IDX file of unsigned bytes with {dimensions} dimension(s)")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], ">u4"))
    values = np.frombuffer(content, np.uint8, offset=header)
    if values.size != np.prod(shape):
        raise DataError(f"{path} announces shape {shape} but holds {values.size} bytes of data")
    if images and shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise DataError(f"{path} holds images of shape {shape[1:]}; {IMAGE_SIDE}x{IMAGE_SIDE} is needed")
    if not images and values.size and values.max() >= len(CLASS_NAMES):
        raise DataError(f"{path} holds label {values.max()}; labels are 0 to {len(CLASS_NAMES) - 1}")
    return values.reshape(shape)


def _cached(fill: Callable[[Path], None]) -> FashionMnist:
    """Call `fill` to put the files into a new folder, verify them, and only then move them to the cache.

    They replace damaged files there; other files of the folder stay.
    """
    cache = cache_folder()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=".fetching-") as scratch:
        fresh = Path(scratch)
        fill(fresh)
        data = read_folder(fresh)
        cache.mkdir(exist_ok=True)
        for name in SHA256:
            (fresh / f"{name}.gz").replace(cache / f"{name}.gz")
    return data


def _download(mirror: str, folder: Path) -> None:
    for name in SHA256:
        with urllib.request.urlopen(f"{mirror}/{name}.gz", timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:
            (folder / f"{name}.gz").write_bytes(response.read())


def _unpack_debian_package(folder: Path) -> None:
    """Download the package with apt and unpack it with dpkg. Neither needs root for this."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise DataError(f"{tool} is not installed here")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _run_quietly(["apt-get", "download", DEBIAN_PACKAGE], scratch)
        except DataError:  # often this machine has no package lists: fetch private ones
            private = ["-o", f"Dir::State::Lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/cache"]
            _run_quietly(["apt-get", *private, "update"], scratch)
            _run_quietly(["apt-get", *private, "download", DEBIAN_PACKAGE], scratch)
        package = next(Path(scratch).glob("*.deb"))
        _run_quietly(["dpkg", "-x", str(package), scratch], scratch)
        for name in SHA256:
            shutil.copy(Path(scratch) / DEBIAN_FOLDER / f"{name}.gz", folder)


def _run_quietly(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_words = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise DataError(f"{' '.join(command)} failed: {last_words}")
