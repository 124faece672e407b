"""What needs no Ray: runs in this process, one after the other, and calls in fresh processes of this machine.

For runs by hand and for debugging, and inside each Ray worker.
"""

import io
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from multiprocessing import get_context
from typing import Any

from lenet.data import FashionMnist
from lenet.errors import BadInput
from runners import environment
from runners.events import EpochDone, Report, Started, Work
from runners.quiet import native_stderr_hidden
from runners.record import RunResult
from runners.run import failure
from runners.spec import RunSpec


def execute(specs: Sequence[RunSpec], data: FashionMnist, work: Work, report: Report) -> Iterator[RunResult]:
    """Do the runs in the order given, telling `report` of each as it happens; one result a run.

    Raises BadInput where a run cannot be done here at all, as on a GPU that is not there.
    """
    for spec in specs:
        try:
            result = perform_or_raise(spec, data, work, report)
        except BadInput:
            raise
        except Exception as error:
            result = failure(spec, error, node=socket.gethostname())
        yield result


def perform(spec: RunSpec, data: FashionMnist, work: Work, report: Report, began_at: float | None = None) -> RunResult:
    """Do one run here, in this thread; an exception in it becomes its record."""
    try:
        return perform_or_raise(spec, data, work, report, began_at)
    except Exception as error:
        return failure(spec, error, node=socket.gethostname())


def perform_or_raise(
    spec: RunSpec, data: FashionMnist, work: Work, report: Report, began_at: float | None = None
) -> RunResult:
    """Do one run here, in this thread, its start and epochs reported."""
    report(Started(spec.run_id, socket.gethostname()))
    return work(spec, data, lambda row: report(EpochDone(spec.run_id, row)), began_at)


def call_each(
    function: Callable[[Any, FashionMnist], Any], specs: Sequence[RunSpec], items: Sequence[Any], data: FashionMnist
) -> list[Any]:
    """`function(item, data)` of each item, as many at once as this machine has cores for with their specs' threads.

    Each has a fresh process of its own. Where a call raised, or its process died, its place holds the exception.
    """
    at_once = max(1, environment.cores() // max(spec.threads for spec in specs))
    with ProcessPoolExecutor(at_once, get_context("spawn"), max_tasks_per_child=1) as pool:
        calls = [pool.submit(_call, function, item, data) for item in items]
        return [call.exception() or call.result() for call in calls]


def _call(function: Callable[[Any, FashionMnist], Any], item: Any, data: FashionMnist) -> Any:
    # Only remarks are lost: what goes wrong comes back as an exception.
    with native_stderr_hidden(), redirect_stderr(io.StringIO()):
        return function(item, data)
