"""What each framework's folder offers, and how it is loaded."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from lenet.data import FashionMnist
from lenet.network import Weights
from runners.core import process
from runners.core.clock import Stopwatch
from runners.core.frameworks import process_environment, strategy_of
from runners.core.record import EpochRow, Flag
from runners.core.spec import RunSpec, Track


@dataclass(frozen=True)
class Outcome:
    """What a runner hands back: the rows, final predictions uint8 (10000,), and what it saw of its framework."""

    epochs: tuple[EpochRow, ...]
    predictions: np.ndarray
    init_sha256: str
    order_sha256: str | None  # None where the framework draws its own order
    epoch_orders_sha256: tuple[str, ...]  # of each epoch; none where several replicas shuffle for themselves
    steps: int  # that the optimiser took
    versions: dict[str, str]
    flags: dict[str, Flag]
    gpu_model: str | None = None
    nodes: tuple[str, ...] = ()  # of all replicas, by rank, where the run has several processes
    communication_share: float | None = None  # as in the record


# Gradients for a first Adam step from zero, in float64: one as small as epsilon shows where epsilon is added, one far
# larger what the bias corrections are rounded to.
ADAM_PROBES = (1e-7, 1.0)


@dataclass(frozen=True)
class Choices:
    """What a framework's side of a track consists of, read from its live objects before any step."""

    weights: Weights
    settings: dict[str, Flag]
    adam_moves: tuple[float, ...]  # from zero, in the first step, for each of ADAM_PROBES


@dataclass(frozen=True)
class Look:
    """A matched run before its first step, in neutral layout, for the parity audit."""

    block_outputs: dict[str, np.ndarray]  # by layer: what it hands on after activation and pooling; logits last
    fed: tuple[tuple[np.ndarray, np.ndarray], ...]  # images (n, 28, 28, 1) and labels (n,) of each batch it will see


def order_of_epochs(orders: Sequence[str]) -> str:
    """Whether the orders of two epochs, by their SHA-256, are one, for the table of defaults; unshuffled has none."""
    if not orders:
        return "that of the data"
    return "the same in all" if len(set(orders)) == 1 else "a new one in each"


class Runner(Protocol):
    """What `runners/FRAMEWORK/runner.py` offers."""

    def train(
        self,
        spec: RunSpec,
        data: FashionMnist,
        stopwatch: Stopwatch,
        on_epoch: Callable[[EpochRow], None],
        folder: Path,
        on_step: Callable[[Weights], None] | None = None,
    ) -> Outcome:
        """Train as `spec` says, report each epoch, and leave the best weights in `folder`.

        `on_step`, if any, is given the weights after each step.
        """


class Inspector(Protocol):
    """What `runners/FRAMEWORK/inspect.py` offers."""

    def process_settings(self) -> dict[str, Flag]:
        """Threads, precision and determinism of this process, as they are now."""

    def look(self, spec: RunSpec, data: FashionMnist, images: np.ndarray) -> Look:
        """A matched run before its first step: what it is fed, and what its network makes of images (n, 28, 28).

        Raises ValueError if its parameters are not the layer table's.
        """

    def choices(self, spec: RunSpec, data: FashionMnist) -> Choices:
        """What a run of `spec` would consist of, read from the live objects."""

    def predict(self, checkpoint: Path, images: np.ndarray) -> np.ndarray:
        """Class probabilities, float (n, 10), of scaled images (n, 28, 28, 1), from saved weights.

        Raises BadInput if the file is not a weights file of this network.
        """


def load_runner(framework: str, track: Track = "native", strategy: str = "single") -> Runner:
    """Import a framework's runner, its environment set first; this is where the framework itself is loaded."""
    return cast(Runner, _load(framework, "runner", track, strategy))


def load_inspector(framework: str, track: Track = "native", strategy: str = "single") -> Inspector:
    """Import what looks at a framework, as `load_runner` imports its runner."""
    return cast(Inspector, _load(framework, "inspect", track, strategy))


def _load(framework: str, part: str, track: Track, strategy: str) -> object:
    kept = strategy_of(framework, strategy).environment
    process.set_environment(process_environment(framework, track), kept)
    return importlib.import_module(f"runners.{framework}.{part}")
