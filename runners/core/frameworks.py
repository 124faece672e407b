"""Which frameworks there are: what is known of each without importing it."""

from dataclasses import dataclass, field

from runners.core import process


@dataclass(frozen=True)
class Framework:
    """What is known about a framework without importing it."""

    label: str  # its name in plots and sentences
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
        ("torch",),
        "best_model.pt",
        ("ddp",),
        {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},  # cuBLAS reads it once, and --deterministic needs it
    ),
}


def process_environment(framework: str, track: str) -> dict[str, str]:
    """Environment variables of a run's process, to be set before the framework is imported."""
    entry = FRAMEWORKS[framework]
    return entry.environment | (entry.matched_environment if track == "matched" else {})
