"""The table of frameworks. A new one needs a row here, a folder in runners/ with the same files, and a model file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Strategy:
    """A way to train with several replicas."""

    # Ray Train's class that starts a process for each replica. None: the run's own process has all replicas.
    trainer: str | None = None
    # Variables with which a process of a group finds the others. The starter of the group sets them.
    environment: tuple[str, ...] = ()
    divides_native_batches: bool = False  # in native each replica has its own feed, with batches of one size


@dataclass(frozen=True)
class Framework:
    """The facts about a framework that are needed before it is imported."""

    label: str  # its name in plots and sentences
    colour: str  # in plots
    dark_colour: str  # on a dark page
    packages: tuple[str, ...]  # distributions whose versions are compared; those not installed are skipped
    checkpoint: str  # name of the file with the best weights
    script: str | None = None  # the article's script in scripts/, where it has one
    strategies: dict[str, Strategy] = field(default_factory=dict)  # other than the single replica
    variables: tuple[str, ...] = ()  # prefixes of its own environment variables; a user's are removed
    environment: dict[str, str] = field(default_factory=dict)  # set before it is imported
    matched_environment: dict[str, str] = field(default_factory=dict)  # for matched runs, in addition
    says_out_of_memory: tuple[str, ...] = ()  # words of its errors whose class does not say so
    gpu_packages: dict[str, str] = field(default_factory=dict)  # by package: its replacement on GPUs
    other_loop: bool = False  # whether its strategies train in another loop than its single replica


# Colours: Okabe and Ito (2008), distinct with every kind of colour vision, and in grey.
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
        # Keras reads and writes keras.json in its home. It does neither if the home cannot be a folder.
        environment={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": "/dev/null/keras"},
        # TensorFlow uses oneDNN, PyTorch's library, by default only on processors where it expects a gain.
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
        environment={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},  # read once; --deterministic needs it
    ),
}
ARTICLE = ("keras", "torch")  # the two frameworks of the article
SINGLE = Strategy()


def strategy_of(framework: str, name: str) -> Strategy:
    """Return a framework's strategy by name; every framework has `single`."""
    return FRAMEWORKS[framework].strategies.get(name, SINGLE)


def process_environment(framework: str, track: str) -> dict[str, str]:
    """Return the environment variables to set in a run's process before the framework is imported."""
    entry = FRAMEWORKS[framework]
    return entry.environment | (entry.matched_environment if track == "matched" else {})
