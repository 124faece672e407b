"""Runs as Ray tasks on a real local Ray: processes, cores, GPUs (Ray's logical ones), deaths and retries."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

from cluster import executor
from cluster.executor import call_each, execute
from cluster.inline import MAX_ATTEMPTS
from cluster.resources import Need, need_of
from lenet.data import FashionMnist
from runners.core.errors import ProcessDied
from runners.core.events import EpochDone, Event, Report, Retried, Started
from runners.core.record import RunResult
from runners.core.spec import Job, RunSpec
from tests.helpers.rays import wait_for
from tests.helpers.stubs import NO_DATA, dies_at_first, intervals, pid_and, raises_or_dies, stub

CPUS, GPUS = 2, 2


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(
        address="local", num_cpus=CPUS, num_gpus=GPUS, include_dashboard=False, log_to_driver=False, logging_level=40
    )
    yield
    ray.shutdown()


def specs(seeds: int, **settings: object) -> list[RunSpec]:
    return [RunSpec(contender=c, seed=s, **settings) for s in range(seeds) for c in ("keras", "torch")]


def do(tmp_path: Path, runs: list[RunSpec], **options: object) -> tuple[dict[str, RunResult], list[Event]]:
    told: list[Event] = []
    results = list(execute(runs, NO_DATA, stub(tmp_path, **options), told.append))  # type: ignore[arg-type]
    assert sorted(result.record.run_id for result in results) == sorted(spec.run_id for spec in runs)
    return {result.record.run_id: result for result in results}, told


def most_at_once(tmp_path: Path) -> int:
    spans = [(start, end) for _, start, end, _ in intervals(tmp_path)]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def test_every_run_has_a_fresh_process_and_never_more_run_at_once_than_there_are_cores(tmp_path: Path) -> None:
    alone = stub(tmp_path, seconds_per_epoch=0.3)
    told: list[Event] = []

    def work(job: Job, data: FashionMnist, report: Report, began_at: float | None) -> tuple[RunResult, ...]:
        def once_others_have_begun(event: Event) -> None:
            wait_for(lambda: len(list(tmp_path.iterdir())) >= CPUS)  # however slowly processes start here
            report(event)

        return alone(job, data, once_others_have_begun, began_at)

    results = list(execute(specs(3, epochs=3), NO_DATA, work, told.append))
    assert [(result.record.status, result.record.attempts) for result in results] == [("completed", 1)] * 6
    assert len({pid for pid, *_ in intervals(tmp_path)}) == 6
    assert most_at_once(tmp_path) == CPUS
    assert sum(isinstance(event, Started) for event in told) == 6


@pytest.mark.thorough
def test_epochs_are_told_while_the_run_goes_on(tmp_path: Path) -> None:
    told: list[Event] = []
    while_going_on: list[str] = []

    def report(event: Event) -> None:
        told.append(event)
        if isinstance(event, EpochDone) and event.row.epoch == 1:
            while_going_on.append((tmp_path / f"{event.run_id}.0").read_text().split()[2])

    for _ in execute(specs(1, epochs=4), NO_DATA, stub(tmp_path, seconds_per_epoch=0.5), report):
        break
    assert while_going_on == ["inf", "inf"]


@pytest.mark.thorough
def test_two_threads_take_two_cores(tmp_path: Path) -> None:
    do(tmp_path, specs(1, epochs=2, threads=2), seconds_per_epoch=0.2)
    assert most_at_once(tmp_path) == 1


def test_each_gpu_run_sees_one_gpu_of_its_own(tmp_path: Path) -> None:
    do(tmp_path, specs(2, epochs=2, device="gpu"), seconds_per_epoch=0.3)
    spans = intervals(tmp_path)
    assert {visible for *_, visible in spans} == {"0", "1"}
    for gpu in ("0", "1"):
        own = sorted((start, end) for _, start, end, visible in spans if visible == gpu)
        assert all(end <= start for (_, end), (start, _) in pairwise(own))


def test_a_run_killed_mid_epoch_is_done_anew_in_a_fresh_process_with_the_attempt_recorded(tmp_path: Path) -> None:
    (spec,) = specs(1, epochs=3)[:1]
    dies = stub(tmp_path, dies_at_epoch=2, deaths=1)

    def work(job: Job, data: FashionMnist, report: Report, began_at: float | None) -> tuple[RunResult, ...]:
        (result,) = dies(job, data, report, began_at)
        return (replace(result, record=result.record.model_copy(update={"error": str(began_at)})),)

    told: list[Event] = []
    results = {r.record.run_id: r for r in execute([spec], NO_DATA, work, told.append)}
    record = results[spec.run_id].record
    assert (record.status, record.attempts) == ("completed", 2)
    assert [row.epoch for row in record.epochs] == [1, 2, 3]
    assert [event.attempt for event in told if isinstance(event, Retried)] == [2]
    assert len({pid for pid, *_ in intervals(tmp_path)}) == 2
    _, first_start, _, _ = min(intervals(tmp_path), key=lambda attempt: attempt[1])
    assert float(record.error or 0) > first_start + 0.1, "the dead attempt's time must not count"


@pytest.mark.thorough
def test_a_run_that_keeps_dying_fails_after_two_retries_and_the_others_finish(tmp_path: Path) -> None:
    dying, healthy = specs(1, epochs=2)
    told: list[Event] = []
    deadly, harmless = stub(tmp_path, dies_at_epoch=1), stub(tmp_path)

    def work(job: Job, *rest: Any) -> tuple[RunResult, ...]:
        return (deadly if job[0].contender.framework == "keras" else harmless)(job, *rest)

    records = {r.record.run_id: r.record for r in execute([dying, healthy], NO_DATA, work, told.append)}
    assert records[healthy.run_id].status == "completed"
    assert (records[dying.run_id].status, records[dying.run_id].attempts) == ("failed", MAX_ATTEMPTS)
    assert "died" in (records[dying.run_id].error or "")


def test_a_run_that_ray_kills_for_want_of_memory_is_retried_twice_and_ends_so_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = specs(1, epochs=1)[:1]
    monkeypatch.setattr(executor, "_result", lambda _: OutOfMemoryError("Task was killed due to the node running low"))
    results, told = do(tmp_path, [spec])
    record = results[spec.run_id].record
    assert (record.status, record.attempts) == ("oom", MAX_ATTEMPTS)
    assert record.node == socket.gethostname()
    assert [event.attempt for event in told if isinstance(event, Retried)] == [2, 3]


@pytest.mark.thorough
def test_a_framework_s_own_out_of_memory_is_a_row_and_its_process_goes_before_the_next_has_that_gpu(
    tmp_path: Path,
) -> None:
    good, hungry = stub(tmp_path, 0), tmp_path / "hungry"

    def work(job: Job, *rest: Any) -> tuple[RunResult, ...]:
        if job[0].seed == 0:
            hungry.write_text(f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}")
            import tensorflow as tf

            tf.random.uniform([2**44])
        pid, gpu = hungry.read_text().split()
        assert gpu == os.environ["CUDA_VISIBLE_DEVICES"]
        wait_for(lambda: not psutil.pid_exists(int(pid)), seconds=10)  # cores are handed on as it exits
        return good(job, *rest)

    runs = [RunSpec(contender="keras", seed=seed, device="gpu", threads=CPUS) for seed in (0, 1)]  # one at a time
    first, second = [result.record for result in execute(runs, NO_DATA, work, print)]
    assert (first.status, first.attempts, second.status) == ("oom", 1, "completed"), (first.error, second.error)
    assert "ResourceExhaustedError" in (first.error or "")


@pytest.mark.thorough
def test_a_run_of_which_nothing_was_heard_was_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (spec,) = specs(1, epochs=1)[:1]
    monkeypatch.setattr(executor, "_result", lambda _: WorkerCrashedError())
    monkeypatch.setattr(executor._Mailbox, "add", lambda self, event: None)
    results, _ = do(tmp_path, [spec])
    assert results[spec.run_id].record.node is None


def test_an_exception_is_not_retried(tmp_path: Path) -> None:
    results, told = do(tmp_path, specs(1, epochs=1), raises="torch")
    failed = results["torch-matched-seed0"].record
    assert (failed.status, failed.attempts) == ("failed", 1)
    assert "deliberate error in torch-matched-seed0" in (failed.error or "")
    assert results["keras-matched-seed0"].record.status == "completed"
    assert not any(isinstance(event, Retried) for event in told)


@pytest.mark.thorough
def test_closing_early_stops_what_is_still_running(tmp_path: Path) -> None:
    going = stub(tmp_path, seconds_per_epoch=0.2, raises="keras")

    def work(job: Job, *rest: Any) -> tuple[RunResult, ...]:
        while job[0].contender.framework == "keras" and not [*tmp_path.glob("torch-*")]:
            time.sleep(0.05)
        return going(job, *rest)

    running = execute(specs(1, epochs=1000), NO_DATA, work, print)
    next(running)
    running.close()  # type: ignore[attr-defined]
    after = tmp_path / "after"
    after.mkdir()
    results, _ = do(after, [RunSpec(contender="torch", seed=9, threads=2, epochs=1)])
    assert results["torch-matched-seed9"].record.status == "completed", "both cores must be free again"
    stopped = [pid for path in tmp_path.glob("torch-*") for pid in [int(path.read_text().split()[0])]]
    assert stopped
    assert not [pid for pid in stopped if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def test_need_is_one_gpu_and_as_many_cores_as_threads() -> None:
    assert need_of(RunSpec(contender="keras", threads=3)) == Need(cpus=3, gpus=0)
    assert need_of(RunSpec(contender="keras", device="gpu")) == Need(cpus=1, gpus=1)
    assert str(Need(1, 1)) == "1 CPU(s) and 1 GPU(s)"


def test_each_call_has_a_fresh_process_and_its_own_item_and_the_data() -> None:
    results = call_each(pid_and, [RunSpec(contender="keras")] * 3, [7, 8, 9], NO_DATA)
    assert [result[1:] for result in results] == [(item, NO_DATA.sha256) for item in (7, 8, 9)]
    assert len({result[0] for result in results}) == 3


def test_calls_that_have_ended_are_not_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then that kills the driver, inside Ray."""
    cancelled: list[object] = []
    monkeypatch.setattr(ray, "cancel", lambda task, **_: cancelled.append(task))
    call_each(pid_and, [RunSpec(contender="keras")], [7], NO_DATA)
    assert not cancelled


@pytest.mark.thorough
def test_a_call_that_raises_leaves_an_error_in_its_place_and_one_that_dies_is_called_anew(tmp_path: Path) -> None:
    (raised,) = call_each(raises_or_dies, [RunSpec(contender="keras")], ["raise"], NO_DATA)
    assert isinstance(raised, RayError)
    assert str(raised).strip().endswith("ValueError: on purpose")
    items = [(tmp_path / "once", 1), (tmp_path / "always", 9)]
    twice, died = call_each(dies_at_first, [RunSpec(contender="keras")] * 2, items, NO_DATA)
    assert twice == 2
    assert isinstance(died, ProcessDied)
    assert len((tmp_path / "always").read_text()) == 3


@pytest.mark.thorough
def test_runs_go_on_when_the_process_that_carries_their_events_is_killed(tmp_path: Path) -> None:
    def kill_mailbox(event: Event) -> None:
        told.append(event)
        if isinstance(event, EpochDone) and not killed:
            lines = psutil.process_iter(["cmdline"])
            mailboxes = [each for each in lines if "_Mailbox" in " ".join(each.info["cmdline"] or [])]
            mailbox = max(mailboxes, key=psutil.Process.create_time)  # those of earlier tests may linger
            mailbox.kill()
            killed.append(mailbox)

    killed: list[psutil.Process] = []
    told: list[Event] = []
    (spec,) = specs(1, epochs=20)[:1]
    (result,) = execute([spec], NO_DATA, stub(tmp_path, 0.5), kill_mailbox)
    assert killed
    assert (result.record.status, len(result.record.epochs)) == ("completed", 20)
    assert sum(isinstance(event, EpochDone) for event in told) > 1, "a new one carries the later ones"
