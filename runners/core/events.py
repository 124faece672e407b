"""What is told of runs while they happen, in the order in which it happens to each; the end is their `RunResult`."""

from collections.abc import Callable
from dataclasses import dataclass

from lenet.data import FashionMnist
from runners.core.record import EpochRow, RunResult
from runners.core.spec import RunSpec


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

# How a run is done: runners.core.run.run, or a stand-in with its signature. The float is when starting up began.
Work = Callable[[RunSpec, FashionMnist, Callable[[EpochRow], None], float | None], RunResult]
