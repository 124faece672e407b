"""Do without Ray: runs in this process, one after the other, and function calls in fresh processes on this machine.

Used for runs by hand, for debugging, and inside each Ray worker.
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

MAX_ATTEMPTS = 3  # at a run or call whose process dies: the first and two retries


def execute(specs: Sequence[RunSpec], data: FashionMnist, work: Work, report: Report) -> Iterator[RunResult]:
    """Do the runs in the order given; yield one result a run. `report` gets their events.

    Raises BadInput if this machine cannot do a run at all, such as a run on a GPU that it does not have.
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
    """Do a job in this thread; if it raises, return a record of the failure for each of its runs."""
    try:
        return perform_or_raise(job, data, work, report, began_at)
    except Exception as error:
        return failures(job, error, node=socket.gethostname())


def perform_or_raise(
    job: Job, data: FashionMnist, work: Work, report: Report, began_at: float | None = None
) -> tuple[RunResult, ...]:
    """Do a job in this thread, and report the start and the epochs of each of its runs."""
    for spec in job:
        report(Started(spec.run_id, socket.gethostname()))
    return work(job, data, report, began_at)


@dataclass(frozen=True)
class _Call:
    """The process that handles one item; the work and the answer go through `pipe`."""

    place: int
    attempt: int
    process: BaseProcess
    pipe: Connection


def call_each(
    function: Callable[[Any, FashionMnist], Any], specs: Sequence[RunSpec], items: Sequence[Any], data: FashionMnist
) -> list[Any]:
    """Return `function(item, data)` for each item, called in parallel on this machine.

    As many calls run at once as the machine has cores for the threads of their specs, each in a fresh process. If a
    process dies, the call is repeated, up to MAX_ATTEMPTS times in all. The answer is the exception if the call
    raised, and a ProcessDied if the process died in every attempt. No process outlives this one.
    """
    at_once = max(1, environment.cores() // max(spec.threads for spec in specs))
    answers: list[Any] = [None] * len(items)
    due = [(place, 1) for place in range(len(items))]
    running: list[_Call] = []
    with scratch() as folder:  # for the frameworks' temporary files
        try:
            while due or running:
                while due and len(running) < at_once:
                    place, attempt = due.pop(0)
                    running.append(_start(place, attempt, folder, function, items[place], data))
                ready = wait([call.pipe for call in running])
                for call in [call for call in running if call.pipe in ready]:
                    running.remove(call)
                    answers[call.place] = _answer(call)
                    if isinstance(answers[call.place], ProcessDied) and call.attempt < MAX_ATTEMPTS:
                        due.append((call.place, call.attempt + 1))
        finally:
            for call in running:
                call.process.kill()
                call.process.join()
    return answers


def _start(
    place: int, attempt: int, folder: Path, function: Callable[[Any, FashionMnist], Any], item: Any, data: FashionMnist
) -> _Call:
    spawn = get_context("spawn")
    pipe, other_end = spawn.Pipe()
    process = spawn.Process(target=_call, args=(other_end, folder), daemon=True)
    with native_stderr_hidden():  # the process inherits this, and may write warnings as it starts
        process.start()
    other_end.close()  # now only the process holds it, so the pipe ends when the process dies
    # Do not pass these as arguments: if the process died before it read them, this one would write them for ever.
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.send((function, item, data))
    return _Call(place, attempt, process, pipe)


def _answer(call: _Call) -> Any:
    """Return the answer of a process, or ProcessDied if it died before it sent one."""
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
    # This hides only warnings: errors come back as exceptions.
    with native_stderr_hidden(), redirect_stderr(io.StringIO()):
        try:
            function, item, data = pipe.recv()
            pipe.send([function(item, data)])
        except Exception as error:
            pipe.send([error])


def _end_with_parent() -> None:
    """End this process once its parent has ended, however that ended: nobody waits for the answer any more."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
