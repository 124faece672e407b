"""The specification of a run: contender, track, seed and settings. Frozen, validated, hashable."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from lenet.data import TRAIN_IMAGES
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS

TRACKS = ("matched", "native")
DEVICES = ("auto", "cpu", "gpu")
MAX_SEEDS = 100_000  # of a study
LARGEST_SEED = 2**32 - 1  # the largest that keras.utils.set_random_seed takes
LARGEST_RATE = 1e30  # learning rate; float32 holds it also times the number of replicas

Track = Literal["matched", "native"]
Device = Literal["cpu", "gpu"]
Vary = Literal["all", "init", "order", "nothing"]
VARIES: tuple[Vary, ...] = get_args(Vary)
Scaling = Literal["strong", "weak"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
LrRule = Literal["none", "linear", "sqrt"]
LR_RULES: tuple[LrRule, ...] = get_args(LrRule)
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED, strict=True)]


class Frozen(BaseModel):
    """A validated, immutable record that JSON keeps unchanged, also NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Contender(Frozen):
    """`framework[:strategy[:replicas]][#copy]`, written and read as this one string.

    Copies are the same contender under different labels, for an A/A control; the first copy has no number.
    """

    framework: str
    strategy: str = "single"
    replicas: int = 1
    copy_number: int = 1

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise BadInput(f"a contender is written framework[:strategy[:replicas]][#copy], not {value!r}")
        base, mark, number = value.partition("#")
        if mark and not re.fullmatch(r"[2-9]|[1-9][0-9]", number):
            raise BadInput(f"{value!r} does not end in # and the number of a copy, from 2 to 99")
        return {**cls._parse_base(base), "copy_number": int(number or 1)}

    @staticmethod
    def _parse_base(value: str) -> dict[str, Any]:
        framework, *rest = value.split(":")
        if framework not in FRAMEWORKS:
            raise BadInput(f"unknown framework {framework!r} in {value!r}: choose from {', '.join(FRAMEWORKS)}")
        strategies = FRAMEWORKS[framework].strategies
        if not rest:
            return {"framework": framework}
        if rest[0] not in strategies:
            raise BadInput(f"unknown strategy {rest[0]!r} in {value!r}: {framework} has {', '.join(strategies)}")
        if len(rest) > 2 or not re.fullmatch(r"[1-9]\d{0,3}", rest[-1] if len(rest) == 2 else "1"):
            raise BadInput(f"{value!r} is not framework:strategy:replicas with replicas from 1 to 9999")
        return {"framework": framework, "strategy": rest[0], "replicas": int(rest[1]) if len(rest) == 2 else 1}

    @property
    def base(self) -> str:
        """Return the contender without its copy's number."""
        return self.framework if self.strategy == "single" else f"{self.framework}:{self.strategy}:{self.replicas}"

    @model_serializer
    def __str__(self) -> str:
        return self.base if self.copy_number == 1 else f"{self.base}#{self.copy_number}"


class Adam(Frozen):
    """Adam's hyper-parameters in matched (Keras's defaults); native uses only the learning rate."""

    name: Literal["adam"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0, le=LARGEST_RATE)
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-7, gt=0, le=1)


class Sgd(Frozen):
    """Gradient descent with momentum, for the parity audit: v = momentum v + gradient; weights -= learning_rate v."""

    name: Literal["sgd"] = "sgd"
    learning_rate: float = Field(ge=0, le=LARGEST_RATE)
    momentum: float = Field(default=0.9, ge=0, lt=1)


class Settings(Frozen):
    """The settings that all runs of a study share."""

    epochs: int = Field(default=13, ge=1, le=100_000)
    batch_size: int = Field(default=128, ge=1)  # global: over all replicas
    optimizer: Annotated[Adam | Sgd, Field(discriminator="name")] = Adam()
    limit_train: int = Field(default=TRAIN_IMAGES, ge=1, le=TRAIN_IMAGES)
    device: Device = "cpu"
    threads: int = Field(default=1, ge=1, le=4096)
    deterministic: bool = False
    checkpoint: bool = True
    early_stopping: int | None = Field(default=None, ge=1, le=100_000)  # patience in epochs
    reduce_lr: int | None = Field(default=None, ge=1, le=100_000)  # patience in epochs

    @model_validator(mode="after")
    def _batch_fits_data(self) -> Self:
        if self.batch_size > self.limit_train:
            raise BadInput(f"batch size {self.batch_size} is larger than the {self.limit_train} training images")
        return self


class RunSpec(Settings):
    """One run: one contender, one track, one seed.

    The seed numbers the run, and pairs it with the other contenders' runs. In matched, initial weights and batch order
    are drawn from it too, unless `init_seed` or `order_seed` differs. `repeat` numbers runs with the same draws.
    """

    contender: Contender
    track: Track = "matched"
    seed: Seed = 0
    init_seed: Seed = Field(default_factory=lambda known: known["seed"])
    order_seed: Seed = Field(default_factory=lambda known: known["seed"])
    repeat: int = Field(default=0, ge=0, lt=MAX_SEEDS)
    dtype: Literal["float32", "float64"] = "float32"  # float64 is for the parity audit

    def may_end_after(self, epochs: int) -> bool:
        """Return whether a completed run may have this number of epochs: all, or fewer after early stopping."""
        fewest = self.epochs if self.early_stopping is None else min(self.epochs, self.early_stopping + 1)
        return fewest <= epochs <= self.epochs

    @property
    def run_id(self) -> str:
        """Return the run's name within its study and in file names: letters, digits and dashes only."""
        contender = str(self.contender).replace(":", "-").replace("#", "-copy")
        return f"{contender}-{self.track}-seed{self.seed}"


# The runs that one process, or one group of processes, does together: only their seeds differ.
Job = tuple[RunSpec, ...]
