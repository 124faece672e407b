"""What needs no Ray: runs in this process, one after the other, and calls in fresh processes of this machine.

For runs by hand and for debugging, and inside each Ray worker.
"""

import io
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

from lenet.data import FashionMnist
from runners.core import environment
from runners.core.errors import BadInput, ProcessDied
from runners.core.events import Report, Started, Work
from runners.core.quiet import native_stderr_hidden
from runners.core.record import RunResult
from runners.core.run import failures
from runners.core.scratch import scratch
from runners.core.spec import Job, RunSpec
from runners.core.study import jobs

MAX_ATTEMPTS = 3  # of what a process does that may die: the first and at most two retries


def execute(specs: Sequence[RunSpec], data: FashionMnist, work: Work, report: Report) -> Iterator[RunResult]:
    """Do the runs in the order given, one result each; `report` gets their events.

    Raises BadInput where a run cannot be done here at all, as on a GPU that is not there.
    """
    for job in jobs(specs):
        try:
            yield from perform_or_raise(job, data, work, report)
        except BadInput:
            raise
        except Exception as error:
            yield from failures(job, error, node=socket.gethostname())


def perform(
    job: Job, data: FashionMnist, work: Work, report: Report, began_at: float | None = None
) -> tuple[RunResult, ...]:
    """Do a job here, in this thread; an exception becomes the record of each of its runs."""
    try:
        return perform_or_raise(job, data, work, report, began_at)
    except Exception as error:
        return failures(job, error, node=socket.gethostname())


def perform_or_raise(
    job: Job, data: FashionMnist, work: Work, report: Report, began_at: float | None = None
) -> tuple[RunResult, ...]:
    """Do a job here, in this thread, and report the start and the epochs of each of its runs."""
    for spec in job:
        report(Started(spec.run_id, socket.gethostname()))
    return work(job, data, report, began_at)


@dataclass(frozen=True)
class _Call:
    """One item's process, which gets its work through `pipe` and answers through it."""

    place: int
    attempt: int
    process: BaseProcess
    pipe: Connection


def call_each(
    function: Callable[[Any, FashionMnist], Any], specs: Sequence[RunSpec], items: Sequence[Any], data: FashionMnist
) -> list[Any]:
    """`function(item, data)` of each item, as many at once as this machine has cores for with their specs' threads.

    Each has a fresh process of its own, and another if that one dies. Where a call raised, its place holds the
    exception; where processes died as often as they were started, a ProcessDied. No process outlives this one.
    """
    at_once = max(1, environment.cores() // max(spec.threads for spec in specs))
    answers: list[Any] = [None] * len(items)
    due = [(place, 1) for place in range(len(items))]
    running: list[_Call] = []
    with scratch() as folder:  # for all that frameworks leave in the temporary folder
        try:
            while due or running:
                while due and len(running) < at_once:
                    place, attempt = due.pop(0)
                    running.append(_begun(place, attempt, folder, function, items[place], data))
                ready = wait([call.pipe for call in running])
                for call in [call for call in running if call.pipe in ready]:
                    running.remove(call)
                    answers[call.place] = _ended(call)
                    if isinstance(answers[call.place], ProcessDied) and call.attempt < MAX_ATTEMPTS:
                        due.append((call.place, call.attempt + 1))
        finally:
            for call in running:
                call.process.kill()
                call.process.join()
    return answers


def _begun(
    place: int, attempt: int, folder: Path, function: Callable[[Any, FashionMnist], Any], item: Any, data: FashionMnist
) -> _Call:
    spawn = get_context("spawn")
    pipe, other_end = spawn.Pipe()
    process = spawn.Process(target=_call, args=(other_end, folder), daemon=True)
    with native_stderr_hidden():  # it inherits this: its first breath too may be a remark
        process.start()
    other_end.close()  # only the process itself holds it now: once that dies, the pipe ends
    # Not among its arguments: should it die before it has read those, this process would write them for ever.
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.send((function, item, data))
    return _Call(place, attempt, process, pipe)


def _ended(call: _Call) -> Any:
    """What the process answered; ProcessDied if it died before it could."""
    try:
        answer = call.pipe.recv()
    except (EOFError, ConnectionResetError):
        answer = None
    call.process.join()
    call.pipe.close()
    return answer[0] if answer else ProcessDied(f"the process ended with exit code {call.process.exitcode}")


def _call(pipe: Connection, folder: Path) -> None:
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    Thread(target=_end_with_parent, daemon=True).start()
    # Only remarks are lost: what goes wrong comes back as an exception.
    with native_stderr_hidden(), redirect_stderr(io.StringIO()):
        try:
            function, item, data = pipe.recv()
            pipe.send([function(item, data)])
        except Exception as error:
            pipe.send([error])


def _end_with_parent() -> None:
    """End this process once the one that started it is gone, however that ended: nobody waits for the answer."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
