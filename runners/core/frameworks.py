"""Which frameworks there are. Adding one is a row here, a folder in runners/ with the same files, and a model file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Strategy:
    """A way to train with several replicas."""

    # Ray Train's class that starts a process for each replica; without one, all are in the run's own process.
    trainer: str | None = None
    # The variables that tell a process of a group who the others are; whoever starts the group sets them.
    environment: tuple[str, ...] = ()
    divides_native_batches: bool = False  # in native each replica feeds itself, with batches of one size


@dataclass(frozen=True)
class Framework:
    """What is known about a framework without importing it."""

    label: str  # its name in plots and sentences
    colour: str  # in plots
    dark_colour: str  # on a dark page
    packages: tuple[str, ...]  # distributions whose versions define it; those not installed are passed over
    checkpoint: str  # the file that holds its best weights
    script: str | None = None  # the article's script in scripts/, where it has one
    strategies: dict[str, Strategy] = field(default_factory=dict)  # distributed ones, beside the single replica
    variables: tuple[str, ...] = ()  # how the names of its own environment variables begin; a user's are dropped
    environment: dict[str, str] = field(default_factory=dict)  # set before it is imported
    matched_environment: dict[str, str] = field(default_factory=dict)  # and this too, for matched runs
    says_out_of_memory: tuple[str, ...] = ()  # words in its errors, where their class does not say so
    gpu_packages: dict[str, str] = field(default_factory=dict)  # by package, what takes its place where GPUs are used
    other_loop: bool = False  # its strategies train in another loop than its single replica


# Colours: Okabe and Ito (2008), told apart with every kind of colour vision, and in grey.
FRAMEWORKS = {
    "keras": Framework(
        label="Keras",
        colour="#0072B2",
        dark_colour="#3d9bdc",
        packages=("tensorflow", "tensorflow-cpu", "keras"),
        checkpoint="best_model.weights.h5",
        script="keras_model.py",
        strategies={
            "mirrored": Strategy(),
            "multiworker": Strategy("ray.train.tensorflow.TensorflowTrainer", environment=("TF_CONFIG",)),
        },
        variables=("KERAS_", "TF_", "TF2_"),
        # Keras reads keras.json in its home, and writes it: where no folder can be, it does neither.
        environment={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": "/dev/null/keras"},
        # On processors that TensorFlow does not know to gain by it, its default is another library than PyTorch's.
        matched_environment={"TF_ENABLE_ONEDNN_OPTS": "1"},
        gpu_packages={"tensorflow-cpu": "tensorflow[and-cuda]"},  # the same TensorFlow, built for CUDA
        other_loop=True,
    ),
    "torch": Framework(
        label="PyTorch",
        colour="#D55E00",
        dark_colour="#ef7f2e",
        packages=("torch",),
        checkpoint="best_model.pt",
        script="pytorch_model.py",
        strategies={"ddp": Strategy("ray.train.torch.TorchTrainer", divides_native_batches=True)},
        variables=("TORCH_", "TORCHDYNAMO_", "TORCHINDUCTOR_", "PYTORCH_", "ATEN_"),
        says_out_of_memory=("DefaultCPUAllocator: can't allocate memory", "CUDA error: out of memory", "_ALLOC_FAILED"),
        environment={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},  # cuBLAS reads it once, and --deterministic needs it
    ),
}
ARTICLE = ("keras", "torch")  # the two that the article compares
SINGLE = Strategy()


def strategy_of(framework: str, name: str) -> Strategy:
    """What is known of a contender's strategy; `single` is every framework's."""
    return FRAMEWORKS[framework].strategies.get(name, SINGLE)


def process_environment(framework: str, track: str) -> dict[str, str]:
    """Environment variables of a run's process, to be set before the framework is imported."""
    entry = FRAMEWORKS[framework]
    return entry.environment | (entry.matched_environment if track == "matched" else {})
