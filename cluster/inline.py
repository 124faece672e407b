"""Runs in this process, one after the other: for runs by hand and for debugging, and inside each Ray worker."""

import socket
from collections.abc import Iterator, Sequence

from lenet.data import FashionMnist
from runners.events import EpochDone, Report, Started, Work
from runners.record import RunResult
from runners.run import failure
from runners.spec import RunSpec


def execute(specs: Sequence[RunSpec], data: FashionMnist, work: Work, report: Report) -> Iterator[RunResult]:
    """Do the runs in the order given, telling `report` of each as it happens; one result a run."""
    for spec in specs:
        yield perform(spec, data, work, report)


def perform(
    spec: RunSpec, data: FashionMnist, work: Work, report: Report, submitted_at: float | None = None
) -> RunResult:
    """Do one run here, in this thread; an exception in it becomes its record."""
    report(Started(spec.run_id, socket.gethostname()))
    try:
        return work(spec, data, lambda row: report(EpochDone(spec.run_id, row)), submitted_at)
    except Exception as error:
        return failure(spec, error)
