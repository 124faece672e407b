"""Attempts are counted over drivers that died and runs that are done again."""

from pathlib import Path

from runners.core.attempts import Attempts
from runners.core.events import Started
from runners.core.record import RunRecord
from runners.core.spec import RunSpec

SPEC = RunSpec(contender="torch")
RUN = SPEC.run_id


def test_attempts_of_drivers_that_died_are_counted_until_the_run_has_ended(tmp_path: Path) -> None:
    assert Attempts(tmp_path, {}).earlier(RUN) == 0
    first = Attempts(tmp_path, {})
    first.count(Started(RUN, "here"))
    first.count(Started(RUN, "here"))  # its process died, and it was started again; then the driver died
    second = Attempts(tmp_path, {})
    assert second.earlier(RUN) == 2
    second.count(Started(RUN, "here"))
    third = Attempts(tmp_path, {})
    assert third.earlier(RUN) == 3
    third.ended(RUN)
    assert list(tmp_path.iterdir()) == []
    assert Attempts(tmp_path, {}).earlier(RUN) == 0


def test_attempts_of_a_failed_run_count_when_it_is_done_again(tmp_path: Path) -> None:
    record = RunRecord(run_id=RUN, spec=SPEC, status="failed", attempts=3)
    assert Attempts(tmp_path, {RUN: record}).earlier(RUN) == 3


def test_a_damaged_count_still_says_that_the_run_was_begun(tmp_path: Path) -> None:
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts" / RUN).write_text("many")
    assert Attempts(tmp_path, {}).earlier(RUN) == 1
