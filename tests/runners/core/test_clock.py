from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.core import clock
from runners.core.clock import Stopwatch

STAGES = ["startup", "import", "data", "build", "compile", "train", "eval", "checkpoint", "other"]


class FakeTime:
    """Stands still until told; notes when it is read."""

    def __init__(self, monkeypatch):
        self.wall = self.cpu = 0.0
        self.events = []
        monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=self.read_wall, process_time=lambda: self.cpu))

    def read_wall(self):
        self.events.append("read")
        return self.wall

    def pass_seconds(self, wall, cpu=0.0):
        self.wall += wall
        self.cpu += cpu


@pytest.fixture
def time(monkeypatch):
    return FakeTime(monkeypatch)


def test_a_lap_is_all_the_time_since_the_last(time):
    stopwatch = Stopwatch()
    time.pass_seconds(2)
    assert stopwatch.lap("import") == 2
    time.pass_seconds(3)
    time.pass_seconds(4)
    assert stopwatch.lap("data") == 7
    assert stopwatch.lap("build") == 0
    read = stopwatch.clock()
    assert (read.import_seconds, read.data_seconds, read.build_seconds) == (2, 7, 0)


def test_laps_of_the_same_stage_add_up(time):
    stopwatch = Stopwatch()
    laps: list[tuple[Any, int]] = [("train", 5), ("eval", 1), ("train", 6), ("eval", 2)]
    for stage, seconds in laps:
        time.pass_seconds(seconds)
        assert stopwatch.lap(stage) == seconds
    assert stopwatch.clock().train_seconds == 11
    assert stopwatch.clock().eval_seconds == 3


@given(st.integers(0, 100), st.lists(st.tuples(st.sampled_from(STAGES), st.integers(0, 1_000))))
def test_the_stages_sum_to_the_total(startup, laps):
    with pytest.MonkeyPatch.context() as monkeypatch:
        time = FakeTime(monkeypatch)
        stopwatch = Stopwatch(startup)
        for stage, seconds in laps:
            time.pass_seconds(seconds)
            stopwatch.lap(stage)
        read = stopwatch.clock()
    assert read.total_seconds == startup + sum(seconds for _, seconds in laps)
    assert read.total_seconds == sum(getattr(read, f"{stage}_seconds") for stage in STAGES)


def test_time_before_the_first_line_is_startup(time):
    read = Stopwatch(1.5).clock()
    assert (read.startup_seconds, read.total_seconds) == (1.5, 1.5)


def test_only_the_first_step_is_compilation(time):
    stopwatch = Stopwatch()
    time.pass_seconds(4)
    stopwatch.first_step()
    for _ in range(3):
        time.pass_seconds(1)
        stopwatch.first_step()
    assert stopwatch.lap("train") == 3
    assert stopwatch.clock().compile_seconds == 4


def test_a_later_step_does_not_even_wait_for_the_device(time):
    stopwatch = Stopwatch()
    stopwatch.first_step()
    stopwatch.synchronize = lambda: pytest.fail("waited")
    stopwatch.first_step()


def test_the_device_is_waited_for_before_every_reading(time):
    stopwatch = Stopwatch()
    time.events.clear()
    stopwatch.synchronize = lambda: time.events.append("synchronize")
    stopwatch.lap("data")
    stopwatch.first_step()
    stopwatch.lap("train")
    assert time.events == ["synchronize", "read"] * 3


def test_waiting_for_the_device_counts_to_the_stage_that_kept_it_busy(time):
    stopwatch = Stopwatch()
    stopwatch.synchronize = lambda: time.pass_seconds(2)
    time.pass_seconds(1)
    assert stopwatch.lap("train") == 3


def test_processor_time_is_counted_in_training_only(time):
    stopwatch = Stopwatch()
    laps: list[tuple[Any, int]] = [("data", 1), ("compile", 2), ("train", 10), ("eval", 4), ("train", 20)]
    for stage, cpu in laps:
        time.pass_seconds(5, cpu)
        stopwatch.lap(stage)
    assert stopwatch.clock().train_cpu_seconds == 30


def test_reading_the_clock_does_not_stop_it(time):
    stopwatch = Stopwatch()
    time.pass_seconds(1)
    stopwatch.lap("train")
    time.pass_seconds(1)
    assert stopwatch.clock().total_seconds == 1
    assert stopwatch.lap("train") == 1
    assert stopwatch.clock().train_seconds == 2
