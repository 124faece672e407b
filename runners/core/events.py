"""What a run reports while it goes on, in the order of the classes below. Its end is its `RunResult`."""

from collections.abc import Callable
from dataclasses import dataclass

from lenet.data import FashionMnist
from runners.core.record import EpochRow, RunResult
from runners.core.spec import Job


@dataclass(frozen=True)
class Started:
    """A process has taken the run up."""

    run_id: str
    node: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch of the run has been trained and evaluated."""

    run_id: str
    row: EpochRow


@dataclass(frozen=True)
class Retried:
    """The run's process died and the run was placed anew; `attempt` counts from 1."""

    run_id: str
    attempt: int
    reason: str


Event = Started | EpochDone | Retried
Report = Callable[[Event], None]

# How a job is done: runners.core.run.run_job, or a stand-in with its signature. The float is when its process began.
Work = Callable[[Job, FashionMnist, Report, float | None], tuple[RunResult, ...]]
