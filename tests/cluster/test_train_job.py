"""Runs of two processes as Ray Train jobs on a real local Ray: started together, watched over, tried again."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import WorkerGroupError

from cluster import executor, train_job
from cluster.executor import execute
from cluster.resources import Need, need_of
from lenet.data import FashionMnist, load
from runners.core.errors import ProcessDied
from runners.core.events import EpochDone, Event, Report, Retried, Started
from runners.core.record import RunRecord, RunResult
from runners.core.run import failure, run_job
from runners.core.spec import Job, RunSpec
from tests.helpers.rays import wait_for
from tests.helpers.stubs import NO_DATA, row

CPUS = 2
ALL_STOP_WITHIN_SECONDS = 60
SPEC = RunSpec(contender="torch:ddp:2")
FOREIGN = "TORCHDYNAMO_FOREIGN"


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Its processes have a setting that no run may see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOREIGN, "x")
        ray.init(address="local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level=40)
    yield
    ray.shutdown()


def first_attempt_of(notes: Path) -> tuple[int, bool]:
    """This process's rank, noted; and whether it is the first of that rank to come here."""
    rank = int(os.environ["RANK"])
    attempt = len(list(notes.glob(f"{rank}.*")))
    (notes / f"{rank}.{attempt}").write_text(str(os.getpid()))
    return rank, attempt == 0


def do(work: Callable[..., tuple[RunResult, ...]], specs: list[RunSpec]) -> tuple[list[RunRecord], list[Event]]:
    told: list[Event] = []
    return [result.record for result in execute(specs, NO_DATA, work, told.append)], told


@pytest.mark.thorough
@pytest.mark.usefixtures("local_ray")
def test_a_run_one_of_whose_processes_is_killed_is_done_anew_by_all_and_other_runs_go_on(tmp_path: Path) -> None:
    def work(job: Job, data: FashionMnist, report: Report, began_at: float | None) -> tuple[RunResult, ...]:
        (spec,) = job
        if spec.contender.strategy == "single":
            return (RunResult(RunRecord(run_id=spec.run_id, spec=spec, status="failed")),)
        rank, first = first_attempt_of(tmp_path)
        if rank == 1 and first:
            while not (tmp_path / "0.0").exists():
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        if first:
            time.sleep(600)
        report(EpochDone(spec.run_id, row(1)))
        assert began_at is not None
        error = f"{time.time() - began_at:.1f}"
        return (RunResult(RunRecord(run_id=spec.run_id, spec=spec, status="failed", error=error)),)

    records, told = do(work, [SPEC, RunSpec(contender="torch")])
    record = {record.run_id: record for record in records}[SPEC.run_id]
    assert record.attempts == 2
    assert float(record.error or 0) > 0, "start-up has begun in the past"
    (retried,) = [event for event in told if isinstance(event, Retried)]
    assert (retried.run_id, retried.attempt) == (SPEC.run_id, 2)
    assert "process of replica 1 died" in retried.reason or "could not be started" in retried.reason
    assert sum(isinstance(event, Started) and event.run_id == SPEC.run_id for event in told) == 2, "rank 0 alone tells"
    assert len({path.read_text() for path in tmp_path.iterdir()}) == 4


@pytest.mark.thorough
@pytest.mark.usefixtures("local_ray")
def test_an_exception_in_one_process_ends_all_at_once_is_not_retried_and_frees_the_cores(tmp_path: Path) -> None:
    def work(job: Job, *_: object) -> tuple[RunResult, ...]:
        (spec,) = job
        if spec.contender.strategy == "single":
            return (RunResult(RunRecord(run_id=spec.run_id, spec=spec, status="failed", error="had both cores")),)
        rank, _first = first_attempt_of(tmp_path)
        if rank == 1:
            raise MemoryError("deliberate")
        time.sleep(600)
        raise AssertionError

    (record,), told = do(work, [SPEC])
    assert (record.status, record.attempts) == ("oom", 1)
    assert (record.error or "").splitlines()[-1] == "MemoryError: deliberate"
    assert "in work" in (record.error or ""), "the traceback is kept"
    assert not any(isinstance(event, Retried) for event in told)
    (after,), _ = do(work, [RunSpec(contender="torch", threads=CPUS)])
    assert after.error == "had both cores"


def rank_in_keras() -> int:
    return json.loads(os.environ["TF_CONFIG"])["task"]["index"]


def rank_in_torch() -> int:
    return int(os.environ["RANK"])


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("contender", "rank_here"), [("keras:multiworker:2", rank_in_keras), ("torch:ddp:2", rank_in_torch)]
)
@pytest.mark.usefixtures("local_ray")
def test_processes_one_of_which_is_killed_while_they_train_are_all_started_anew(
    contender: str, rank_here: Callable[[], int], tmp_path: Path
) -> None:
    """The other waits inside a collective for the one that died, where nothing but its own end can reach it."""
    spec = RunSpec(contender=contender, limit_train=256, epochs=2)

    def work(job: Job, data: FashionMnist, report: Report, began_at: float | None) -> tuple[RunResult, ...]:
        rank = rank_here()
        first = not (tmp_path / f"{rank}").exists()
        with (tmp_path / f"{rank}").open("a") as pids:
            pids.write(f"{os.getpid()} ")

        def die_after_an_epoch(event: Event) -> None:
            report(event)
            if rank == 1 and first:
                (tmp_path / "killed at").write_text(str(time.time()))
                os.kill(os.getpid(), signal.SIGKILL)

        return run_job(job, data, die_after_an_epoch, began_at)

    told: list[Event] = []
    retried_at: list[float] = []

    def note(event: Event) -> None:
        told.append(event)
        retried_at.extend([time.time()] if isinstance(event, Retried) else [])

    (result,) = execute([spec], load().first(256, 128), work, note)
    assert retried_at[0] - float((tmp_path / "killed at").read_text()) < ALL_STOP_WITHIN_SECONDS
    first_attempt = [int((tmp_path / rank).read_text().split()[0]) for rank in "01"]
    wait_for(lambda: not any(map(psutil.pid_exists, first_attempt)))
    record = result.record
    assert (record.status, record.attempts) == ("completed", 2), record.error
    (retried,) = [event for event in told if isinstance(event, Retried)]
    assert "process of replica 1 died" in retried.reason
    assert [event.row.epoch for event in told if isinstance(event, EpochDone)] == [1, 1, 2], "rank 0 alone tells"
    assert record.nodes == (record.node,) * 2
    assert record.environment is not None
    if contender.startswith("keras"):
        assert record.environment.flags["onednn"] is True, "set before Ray Train imports TensorFlow"
    assert result.predictions is not None
    assert len(result.predictions) == 128


@pytest.mark.thorough
@pytest.mark.usefixtures("local_ray")
def test_a_job_that_keeps_dying_fails_and_frees_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MAX_ATTEMPTS", 1)  # how often it is tried is tested with single processes

    def work(job: Job, *_: object) -> tuple[RunResult, ...]:
        (spec,) = job
        if spec.contender.strategy == "single":
            return (RunResult(RunRecord(run_id=spec.run_id, spec=spec, status="failed", error="had both cores")),)
        if rank_in_torch() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
        raise AssertionError

    (record,), _ = do(work, [SPEC])
    assert (record.status, record.attempts) == ("failed", 1)
    assert "died" in (record.error or "")
    (after,), _ = do(work, [RunSpec(contender="torch", threads=CPUS)])
    assert after.error == "had both cores"


@pytest.mark.thorough
@pytest.mark.usefixtures("local_ray")
def test_a_node_s_own_settings_of_frameworks_are_dropped_before_ray_train_imports_any() -> None:
    """On a cluster that somebody else has started, its processes inherit what is set there."""

    def work(job: Job, *_: object) -> tuple[RunResult, ...]:
        (spec,) = job
        told = " ".join(name for name in os.environ if name.startswith("TORCHDYNAMO_"))
        return (RunResult(RunRecord(run_id=spec.run_id, spec=spec, status="failed", error=f"found: {told}")),)

    (alone, together), _ = do(work, [RunSpec(contender="torch"), SPEC])
    assert (alone.error, together.error) == (f"found: {FOREIGN}", "found: ")


@pytest.mark.parametrize(
    ("death", "status"),
    [(OutOfMemoryError("killed by the memory monitor"), "oom"), (ActorDiedError(), "failed")],
)
def test_a_process_that_ray_killed_for_want_of_memory_is_told_from_one_that_died(death: RayError, status: str) -> None:
    found = WorkerHealthCheckFailedError("Worker 1 failed a health check", failure=death)
    reason = train_job._reason(WorkerGroupError("worker 1", {1: found}))
    assert isinstance(reason, ProcessDied), "worth another attempt"
    assert failure(SPEC, RayTaskError("fit", "trace", reason).as_instanceof_cause()).record.status == status


def test_each_replica_needs_its_own() -> None:
    assert need_of(RunSpec(contender="torch:ddp:3", threads=2)) == Need(cpus=2, gpus=0, processes=3)
    assert str(need_of(RunSpec(contender="torch:ddp:3", device="gpu"))) == "3 times 1 CPU(s) and 1 GPU(s)"
    assert need_of(RunSpec(contender="keras:multiworker:3", threads=2)) == Need(cpus=2, gpus=0, processes=3)


def test_replicas_of_one_process_need_theirs_together() -> None:
    assert need_of(RunSpec(contender="keras:mirrored:3", threads=2)) == Need(cpus=6, gpus=0, processes=1)
    assert need_of(RunSpec(contender="keras:mirrored:2", device="gpu")) == Need(cpus=2, gpus=2, processes=1)
