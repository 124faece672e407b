"""A short storm: `python -m tests.storm` has a long one."""

from pathlib import Path

import pytest

from tests.storm import storm

pytestmark = pytest.mark.thorough


def test_no_recorded_run_is_lost_whatever_process_of_a_study_is_killed(tmp_path: Path) -> None:
    tally = storm(20, 0, tmp_path)
    assert sum(tally.values()) == 20
