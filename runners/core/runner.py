"""The contract of a framework's folder, and how to load it."""

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
    """The result of a runner: epochs, final predictions uint8 (10000,), and facts read from its framework."""

    epochs: tuple[EpochRow, ...]
    predictions: np.ndarray
    init_sha256: str
    order_sha256: str | None  # None if the framework draws the order
    epoch_orders_sha256: tuple[str, ...]  # by epoch; empty if several replicas shuffle their own parts
    steps: int  # of the optimiser
    versions: dict[str, str]
    flags: dict[str, Flag]
    gpu_model: str | None = None
    nodes: tuple[str, ...] = ()  # of all processes, by rank, if there are several
    communication_share: float | None = None  # as in the record


# Gradients for a first Adam step from zero, in float64: a gradient as small as epsilon shows where epsilon is added, a
# far larger one shows how the bias corrections are rounded.
ADAM_PROBES = (1e-7, 1.0)


@dataclass(frozen=True)
class Choices:
    """What a framework chooses in one track, read from its live objects before any step."""

    weights: Weights
    settings: dict[str, Flag]
    adam_moves: tuple[float, ...]  # a weight of zero after its first step, for each of ADAM_PROBES


@dataclass(frozen=True)
class Inspection:
    """A matched run before its first step, in neutral layout, for the parity audit."""

    block_outputs: dict[str, np.ndarray]  # by layer, after activation and pooling; logits last
    fed: tuple[tuple[np.ndarray, np.ndarray], ...]  # images (n, 28, 28, 1), labels (n,) of each batch to come


def order_of_epochs(orders: Sequence[str]) -> str:
    """Compare two epochs' orders, given by SHA-256, for the table of defaults; without shuffling there are none."""
    if not orders:
        return "that of the data"
    return "the same in all" if len(set(orders)) == 1 else "a new one in each"


class Runner(Protocol):
    """The contract of `runners/FRAMEWORK/runner.py`."""

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

        `on_step`, if any, gets the weights after each step.
        """


class Inspector(Protocol):
    """The contract of `runners/FRAMEWORK/inspect.py`."""

    def process_settings(self) -> dict[str, Flag]:
        """Return threads, precision and determinism of this process now."""

    def inspect_run(self, spec: RunSpec, data: FashionMnist, images: np.ndarray) -> Inspection:
        """Return a matched run's batches, and its network's outputs for images (n, 28, 28), before its first step.

        Raises ValueError if the parameters are not the layer table's.
        """

    def choices(self, spec: RunSpec, data: FashionMnist) -> Choices:
        """Return what the framework chooses in a run of `spec`, read from the live objects."""

    def predict(self, checkpoint: Path, images: np.ndarray) -> np.ndarray:
        """Return class probabilities, float (n, 10), of scaled images (n, 28, 28, 1), from saved weights.

        Raises BadInput if the file is not a weights file of this network.
        """


def load_runner(framework: str, track: Track = "native", strategy: str = "single") -> Runner:
    """Set the process's environment, then import a framework's runner. This imports the framework itself."""
    return cast(Runner, _load(framework, "runner", track, strategy))


def load_inspector(framework: str, track: Track = "native", strategy: str = "single") -> Inspector:
    """Import a framework's inspector, as `load_runner` imports its runner."""
    return cast(Inspector, _load(framework, "inspect", track, strategy))


def _load(framework: str, part: str, track: Track, strategy: str) -> object:
    kept = strategy_of(framework, strategy).environment
    process.set_environment(process_environment(framework, track), kept)
    return importlib.import_module(f"runners.{framework}.{part}")
