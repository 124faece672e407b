import os
from dataclasses import replace
from multiprocessing import get_context, spawn
from pathlib import Path

import numpy as np
import psutil
import pytest

from cluster.inline import call_each, execute
from runners.core import environment
from runners.core.errors import ProcessDied
from runners.core.events import EpochDone, Event, Started
from runners.core.spec import RunSpec
from tests.helpers.processes import wait_until_gone
from tests.helpers.rays import wait_for
from tests.helpers.stubs import NO_DATA, dies_at_first, pid_and, raises_or_dies, stub, tells_its_pid_and_sleeps

SPECS = [RunSpec(contender=name, epochs=2) for name in ("keras", "torch")]


def test_runs_are_done_in_order_and_told_of_as_they_happen(tmp_path: Path) -> None:
    told: list[Event] = []
    results = list(execute(SPECS, NO_DATA, stub(tmp_path, 0), told.append))
    assert [result.record.run_id for result in results] == ["keras-matched-seed0", "torch-matched-seed0"]
    assert [type(event) for event in told] == [Started, EpochDone, EpochDone] * 2


def test_an_exception_becomes_the_run_s_record_and_the_others_go_on(tmp_path: Path) -> None:
    failed, completed = execute(SPECS, NO_DATA, stub(tmp_path, 0, raises="keras"), lambda event: None)
    assert (failed.record.status, completed.record.status) == ("failed", "completed")
    assert failed.record.error is not None
    assert "Traceback" in failed.record.error
    assert "deliberate error in keras-matched-seed0" in failed.record.error


def test_running_out_of_memory_is_told_apart(tmp_path: Path) -> None:
    def hungry(*_: object) -> None:
        raise MemoryError("no more")

    (result,) = execute(SPECS[:1], NO_DATA, hungry, lambda event: None)  # type: ignore[arg-type]
    assert result.record.status == "oom"


# Calls in processes of this machine


def test_each_call_has_a_fresh_process_and_its_own_item_and_the_data() -> None:
    results = call_each(pid_and, [RunSpec(contender="keras")] * 3, [7, 8, 9], NO_DATA)
    assert [result[1:] for result in results] == [(item, NO_DATA.sha256) for item in (7, 8, 9)]
    assert len({os.getpid(), *(result[0] for result in results)}) == 4


def test_a_call_that_raises_leaves_its_exception_in_its_place() -> None:
    (error,) = call_each(raises_or_dies, [RunSpec(contender="keras")], ["raise"], NO_DATA)
    assert isinstance(error, ValueError)
    assert str(error) == "on purpose"


def test_a_process_that_dies_is_started_anew_but_not_for_ever(tmp_path: Path) -> None:
    once, always = tmp_path / "once", tmp_path / "always"
    answers = call_each(dies_at_first, [RunSpec(contender="keras")] * 2, [(once, 1), (always, 9)], NO_DATA)
    assert answers[0] == 2
    assert isinstance(answers[1], ProcessDied)
    assert str(answers[1]) == "the process ended with exit code -9"
    assert len(always.read_text()) == 3


def test_a_process_that_cannot_even_begin_is_one_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    data = replace(NO_DATA, train_labels=np.zeros(2**20, np.uint8))  # more than a pipe holds
    monkeypatch.setattr(spawn, "get_executable", lambda: b"/no/such/python")
    (answer,) = call_each(pid_and, [RunSpec(contender="keras")], [7], data)
    assert isinstance(answer, ProcessDied)
    assert str(answer) == "the process ended with exit code 255"


def dies_alone(pids: Path) -> None:
    call_each(tells_its_pid_and_sleeps, [RunSpec(contender="keras")] * 2, [pids / "0", pids / "1"], NO_DATA)


@pytest.mark.thorough
def test_processes_end_with_the_one_that_started_them_even_if_it_is_killed(tmp_path: Path) -> None:
    caller = get_context("spawn").Process(target=dies_alone, args=(tmp_path,))
    caller.start()
    at_once = min(2, environment.cores())
    wait_for(lambda: len([path for path in tmp_path.iterdir() if path.read_text()]) == at_once)
    started = [psutil.Process(int(path.read_text())) for path in tmp_path.iterdir()]
    caller.kill()
    caller.join()
    assert wait_until_gone(started, seconds=10) == []
