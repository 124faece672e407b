"""Which frameworks there are. Adding one is a runner, a model file and an entry here."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from runners.core import process

if TYPE_CHECKING:
    from lenet.data import FashionMnist
    from lenet.network import Weights
    from runners.core.clock import Stopwatch
    from runners.core.record import Choices, EpochRow, Flag, Look, Outcome
    from runners.core.spec import RunSpec, Track


@dataclass(frozen=True)
class Framework:
    """What is known about a framework without importing it."""

    label: str  # its name in plots and sentences
    runner: str  # the module with `train`, `look` and `predict`
    packages: tuple[str, ...]  # distributions whose versions define it; those not installed are passed over
    checkpoint: str  # the file that holds its best weights
    strategies: tuple[str, ...] = ()  # distributed ones, beside the single replica
    environment: dict[str, str] = field(default_factory=dict)  # set before it is imported
    matched_environment: dict[str, str] = field(default_factory=dict)  # and this too, for matched runs
    # By strategy, the variables that tell a process of a group who the others are; whoever starts the group sets them.
    group_environment: dict[str, tuple[str, ...]] = field(default_factory=dict)
    other_loop: bool = False  # its strategies train in another loop than its single replica


FRAMEWORKS = {
    "keras": Framework(
        "Keras",
        "runners.keras.runner",
        ("tensorflow", "tensorflow-cpu", "keras"),
        "best_model.weights.h5",
        ("mirrored", "multiworker"),
        {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": process.NO_KERAS_HOME},
        # On processors that TensorFlow does not know to gain by it, its default is another library than PyTorch's.
        {"TF_ENABLE_ONEDNN_OPTS": "1"},
        {"multiworker": ("TF_CONFIG",)},
        other_loop=True,
    ),
    "torch": Framework(
        "PyTorch",
        "runners.torch.runner",
        ("torch",),
        "best_model.pt",
        ("ddp",),
        {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},  # cuBLAS reads it once, and --deterministic needs it
    ),
}


class Runner(Protocol):
    """What a runner module offers."""

    def train(
        self,
        spec: "RunSpec",
        data: "FashionMnist",
        stopwatch: "Stopwatch",
        on_epoch: "Callable[[EpochRow], None]",
        folder: Path,
        on_step: "Callable[[Weights], None] | None" = None,
    ) -> "Outcome":
        """Train as `spec` says, report each epoch, and leave the best weights in `folder`.

        `on_step`, if any, is given the weights after each step.
        """

    def look(self, spec: "RunSpec", data: "FashionMnist", images: np.ndarray) -> "Look":
        """A matched run before its first step: what it is fed, and what its network makes of images (n, 28, 28).

        Raises ValueError if its parameters are not the layer table's.
        """

    def choices(self, spec: "RunSpec", data: "FashionMnist") -> "Choices":
        """What a run of `spec` would consist of, read from the live objects."""

    def process_settings(self) -> "dict[str, Flag]":
        """Threads, precision and determinism of this process, as they are now."""

    def predict(self, checkpoint: Path, images: np.ndarray) -> np.ndarray:
        """Class probabilities, float (n, 10), of scaled images (n, 28, 28, 1), from saved weights.

        Raises BadInput if the file is not a weights file of this network.
        """


def process_environment(framework: str, track: "Track") -> dict[str, str]:
    """Environment variables of a run's process, to be set before the framework is imported."""
    entry = FRAMEWORKS[framework]
    return entry.environment | (entry.matched_environment if track == "matched" else {})


def load_runner(framework: str, track: "Track" = "native", strategy: str = "single") -> Runner:
    """Import a framework's runner, its environment set first; this is where the framework itself is loaded."""
    kept = FRAMEWORKS[framework].group_environment.get(strategy, ())
    process.set_environment(process_environment(framework, track), kept)
    return cast(Runner, importlib.import_module(FRAMEWORKS[framework].runner))
