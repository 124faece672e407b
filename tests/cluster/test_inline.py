import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from cluster.inline import call_each, execute
from runners.events import EpochDone, Event, Started
from runners.spec import RunSpec
from tests.cluster.stubs import NO_DATA, pid_and, raises_or_dies, stub

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
    assert [result[1:] for result in results] == [(7, "none"), (8, "none"), (9, "none")]
    assert len({os.getpid(), *(result[0] for result in results)}) == 4


def test_a_call_that_raises_leaves_its_exception_in_its_place() -> None:
    (error,) = call_each(raises_or_dies, [RunSpec(contender="keras")], ["raise"], NO_DATA)
    assert isinstance(error, ValueError)
    assert str(error) == "on purpose"


def test_a_process_that_is_killed_leaves_an_exception_in_its_place() -> None:
    (error,) = call_each(raises_or_dies, [RunSpec(contender="keras")], ["die"], NO_DATA)
    assert isinstance(error, BrokenProcessPool)
