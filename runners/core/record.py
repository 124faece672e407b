"""The record of a run, success or failure. Losses are means over images, accuracies fractions, times seconds."""

from dataclasses import dataclass
from datetime import datetime
from math import isclose, isfinite
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from runners.core.errors import BadInput
from runners.core.spec import Frozen, RunSpec

Status = Literal["completed", "failed", "diverged", "oom"]
Flag = str | int | float | bool | None


def _not_negative(value: float) -> float:
    if value < 0:
        raise BadInput(f"{value} is below 0")
    return value


def _not_negative_if_finite(value: float) -> float:
    return _not_negative(value) if isfinite(value) else value


Loss = Annotated[float, AfterValidator(_not_negative_if_finite)]  # NaN or infinite where training diverged
Distance = Annotated[float, AfterValidator(_not_negative)]  # NaN or infinite if unknown
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Finite
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LARGEST_COUNT = 2**63  # too large for the tables
SUM_TOLERANCE = 1e-3  # seconds; for rounding only


class EpochRow(Frozen):
    """One epoch. Train loss and accuracy are means over the images during training, test ones over all 10,000."""

    epoch: int = Field(ge=1)
    train_loss: Loss
    train_accuracy: Fraction
    test_loss: Loss
    test_accuracy: Fraction
    learning_rate: float = Field(ge=0, allow_inf_nan=False)  # in force during the epoch
    train_seconds: Seconds
    eval_seconds: Seconds

    @property
    def diverged(self) -> bool:
        """Return whether a loss is NaN or infinite. Further training then means nothing."""
        return not (isfinite(self.train_loss) and isfinite(self.test_loss))


class Clock(Frozen):
    """A run's time by stage; the stages add up to the total. The first step is in `compile`, not in `train`."""

    startup_seconds: Seconds = 0.0  # from placement, or the process's start if later, to the run's start
    import_seconds: Seconds = 0.0
    data_seconds: Seconds = 0.0  # scaling, tensors, the framework's own input pipeline
    build_seconds: Seconds = 0.0  # configuration, model, optimiser
    compile_seconds: Seconds = 0.0  # the first training step: tracing, kernel selection, warm-up
    train_seconds: Seconds = 0.0
    eval_seconds: Seconds = 0.0
    checkpoint_seconds: Seconds = 0.0
    other_seconds: Seconds = 0.0  # reporting epochs, final predictions
    total_seconds: Seconds
    train_cpu_seconds: Seconds = 0.0  # processor time of all threads during `train`: how many cores really worked

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        seconds = sum(self.model_dump(exclude={"total_seconds", "train_cpu_seconds"}).values())
        if not isclose(seconds, self.total_seconds, rel_tol=1e-6, abs_tol=SUM_TOLERANCE):
            raise BadInput(f"the stages last {seconds:g} s, and their total is {self.total_seconds:g} s")
        return self


class Machine(Frozen):
    """A machine; `node` is its host name."""

    node: str
    os: str
    cpu_model: str
    cpu_cores: int = Field(ge=1, lt=LARGEST_COUNT)
    memory_bytes: int = Field(ge=1, lt=LARGEST_COUNT)


class Environment(Machine):
    """The machine and software of a run."""

    gpu_model: str | None = None
    gpu_driver: str | None = None
    versions: dict[str, str]  # python, numpy and the framework's packages, CUDA and cuDNN by the framework
    flags: dict[str, Flag]  # threads, precision, determinism etc., read back from the framework
    # Environment variables of frameworks and libraries; older records have none.
    variables: dict[str, str] = Field(default_factory=dict)
    git_commit: str | None
    code_sha256: Sha256
    data_sha256: Sha256
    load_before: Finite  # one-minute load average
    load_after: Finite


class RunRecord(Frozen):
    """One run. If its process died, it has neither clock nor environment."""

    run_id: str
    spec: RunSpec
    status: Status
    error: str | None = None
    epochs: tuple[EpochRow, ...] = ()
    clock: Clock | None = None
    environment: Environment | None = None
    attempts: int = Field(default=1, ge=1, lt=LARGEST_COUNT)
    node: str | None = None
    nodes: tuple[str, ...] = ()  # of each process of the run, by rank; `node` is the first one's
    started_at: datetime | None = None
    init_sha256: Sha256 | None = None
    order_sha256: Sha256 | None = None
    epoch_orders_sha256: tuple[Sha256, ...] = ()  # of each epoch's order of images, if known
    steps: int | None = Field(default=None, ge=0, lt=LARGEST_COUNT)  # of the optimiser; unknown in older records
    communication_share: Finite | None = None  # of training time, waiting for other replicas' gradients

    @model_validator(mode="after")
    def _id_belongs_to_spec(self) -> Self:
        if self.run_id != self.spec.run_id:
            raise BadInput(f"run_id {self.run_id!r} is not its spec's {self.spec.run_id!r}")
        return self

    @model_validator(mode="after")
    def _epochs_are_numbered(self) -> Self:
        if [row.epoch for row in self.epochs] != list(range(1, len(self.epochs) + 1)):
            raise BadInput(f"{self.run_id} has epochs that are not numbered 1, 2, 3, ...")
        return self

    @model_validator(mode="after")
    def _status_fits(self) -> Self:
        diverged = [row.diverged for row in self.epochs]
        if self.status == "completed" and (self.clock is None or not self.spec.may_end_after(len(self.epochs))):
            raise BadInput(f"{self.run_id} is completed but has {len(self.epochs)} epochs, or no clock")
        if (self.status == "completed" and any(diverged)) or (self.status == "diverged" and not any(diverged[-1:])):
            raise BadInput(f"{self.run_id} is {self.status}, but its losses contradict that")
        return self


@dataclass(frozen=True)
class RunResult:
    """A record, and the content of the run's other files."""

    record: RunRecord
    predictions: np.ndarray | None = None  # uint8 (10000,)
    checkpoint: bytes | None = None  # file of the best weights, in the framework's format
