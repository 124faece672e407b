"""One run from start to record, in this process: the same on every machine."""

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from math import ceil

import psutil

from lenet.data import FashionMnist
from runners.core import environment
from runners.core.clock import Stopwatch
from runners.core.environment import Software
from runners.core.events import EpochDone, Report
from runners.core.frameworks import FRAMEWORKS
from runners.core.memory import keep_freed_memory
from runners.core.record import Clock, Environment, EpochRow, RunRecord, RunResult, Status
from runners.core.runner import Outcome, load_runner
from runners.core.scratch import scratch
from runners.core.spec import Job, RunSpec

# How Python, Ray and the frameworks report that memory ran out: by an error's class, or in its message.
OUT_OF_MEMORY = {"OutOfMemoryError", "ResourceExhaustedError", "MemoryError"}
SAYS_OUT_OF_MEMORY = [words for framework in FRAMEWORKS.values() for words in framework.says_out_of_memory]


def run(
    spec: RunSpec, data: FashionMnist, on_epoch: Callable[[EpochRow], None], began_at: float | None = None
) -> RunResult:
    """Do one run and return its result. Raises whatever training raises.

    `began_at`, in seconds since 1970, is when starting up began; by default this process's start.
    """
    stopwatch = Stopwatch(max(0.0, time.time() - (began_at or process_began_at())))
    started_at, load_before = datetime.now(UTC), environment.load_average()
    framework = spec.contender.framework
    keeps_freed_memory = spec.track == "matched" and keep_freed_memory()
    with scratch() as folder:
        runner = load_runner(framework, spec.track, spec.contender.strategy)
        stopwatch.lap("import")
        outcome = runner.train(spec, data.first(spec.limit_train), stopwatch, on_epoch, folder)
        stopwatch.lap("other")
        best = folder / FRAMEWORKS[framework].checkpoint
        checkpoint = best.read_bytes() if best.exists() else None
    outcome = replace(outcome, flags={**outcome.flags, "keeps_freed_memory": keeps_freed_memory})
    described = environment.describe(outcome, data.sha256, load_before)
    record = _record(spec, outcome, stopwatch.clock(), described, started_at)
    return RunResult(record, outcome.predictions, checkpoint)


def run_job(job: Job, data: FashionMnist, report: Report, began_at: float | None = None) -> tuple[RunResult, ...]:
    """Do the job's runs one after the other and report their epochs. Raises whatever training raises."""
    results = []
    for spec in job:
        results.append(run(spec, data, _epochs_of(spec, report), began_at))
        began_at = time.time()  # the next run needs no new process
    return tuple(results)


def run_job_of_study(
    software: Software, job: Job, data: FashionMnist, report: Report, began_at: float | None = None
) -> tuple[RunResult, ...]:
    """Call `run_job` for a study with this software. Raises BadInput if this process has other software."""
    environment.refuse_other_software(job[0].contender.framework, software)
    return run_job(job, data, report, began_at)


def _epochs_of(spec: RunSpec, report: Report) -> Callable[[EpochRow], None]:
    return lambda row: report(EpochDone(spec.run_id, row))


def failure(spec: RunSpec, error: BaseException, attempts: int = 1, node: str | None = None) -> RunResult:
    """Return the record of a run that raised `error`, with its traceback: `failed`, or `oom` if memory ran out.

    `node` is the run's node, if known.
    """
    record = RunRecord(
        run_id=spec.run_id,
        spec=spec,
        status="oom" if _out_of_memory(error) else "failed",
        error="".join(traceback.format_exception(error)).strip(),
        attempts=attempts,
        node=node,
    )
    return RunResult(record)


def failures(job: Job, error: BaseException, attempts: int = 1, node: str | None = None) -> tuple[RunResult, ...]:
    """Return `failure` for each of the job's runs."""
    return tuple(failure(spec, error, attempts, node) for spec in job)


def _out_of_memory(error: BaseException) -> bool:
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & OUT_OF_MEMORY) or any(words in str(error) for words in SAYS_OUT_OF_MEMORY)


def _record(spec: RunSpec, outcome: Outcome, clock: Clock, described: Environment, started_at: datetime) -> RunRecord:
    status, error = _ending(spec, outcome)
    return RunRecord(
        run_id=spec.run_id,
        spec=spec,
        status=status,
        error=error,
        epochs=outcome.epochs,
        clock=clock,
        environment=described,
        node=described.node,
        nodes=outcome.nodes or (described.node,),
        started_at=started_at,
        init_sha256=outcome.init_sha256,
        order_sha256=outcome.order_sha256,
        epoch_orders_sha256=outcome.epoch_orders_sha256,
        steps=outcome.steps,
        communication_share=outcome.communication_share,
    )


def _ending(spec: RunSpec, outcome: Outcome) -> tuple[Status, str | None]:
    """Return the run's status and error. A run that was cut short is not completed, whatever the cause."""
    epochs = len(outcome.epochs)
    if outcome.epochs and outcome.epochs[-1].diverged:
        return "diverged", f"the loss is not finite after epoch {epochs}"
    if not spec.may_end_after(epochs):
        return "failed", f"{epochs} epochs were trained where {spec.epochs} were due"
    due = epochs * ceil(spec.limit_train / spec.batch_size)
    if outcome.steps != due:
        return "failed", f"{outcome.steps} steps were taken where {due} were due in {epochs} epochs"
    return "completed", None


def process_began_at(not_before: float = 0.0) -> float:
    """Return this process's start or, if later, `not_before`: the process may have waited for a run to be placed."""
    return max(psutil.Process().create_time(), not_before)
