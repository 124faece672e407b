"""The events that a run reports, in the order of the classes below. Its `RunResult` follows them."""

from collections.abc import Callable
from dataclasses import dataclass

from lenet.data import FashionMnist
from runners.core.record import EpochRow, RunResult
from runners.core.spec import Job


@dataclass(frozen=True)
class Started:
    """A process has started the run."""

    run_id: str
    node: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch of the run has been trained and evaluated."""

    run_id: str
    row: EpochRow


@dataclass(frozen=True)
class Retried:
    """The run's process died and the run was placed again; `attempt` counts from 1."""

    run_id: str
    attempt: int
    reason: str


Event = Started | EpochDone | Retried
Report = Callable[[Event], None]

# How to do a job: runners.core.run.run_job, or a stand-in with its signature. The float is when its process started.
Work = Callable[[Job, FashionMnist, Report, float | None], tuple[RunResult, ...]]
