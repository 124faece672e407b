"""The split clock: every second of a run belongs to exactly one stage."""

import time
from collections.abc import Callable
from typing import Literal

from runners.core.record import Clock

Stage = Literal["startup", "import", "data", "build", "compile", "train", "eval", "checkpoint", "other"]


class Stopwatch:
    """Laps over one run: each lap adds all the time since the last one to a stage, so no time is lost.

    `synchronize` is called before every reading. A runner sets it to its framework's device synchronisation, since a
    GPU may not have done its queued work yet.
    """

    def __init__(self, startup_seconds: float = 0.0) -> None:
        self.synchronize: Callable[[], object] = lambda: None
        self._seconds: dict[Stage, float] = {"startup": startup_seconds}
        self._train_cpu_seconds = 0.0
        self._first_step_done = False
        self._read()

    def lap(self, stage: Stage) -> float:
        """Add the time since the last lap to `stage`; return it in seconds."""
        before, cpu_before = self._wall, self._cpu
        self._read()
        seconds = self._wall - before
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        if stage == "train":
            self._train_cpu_seconds += self._cpu - cpu_before
        return seconds

    def first_step(self) -> None:
        """Call after each training step: the first ends the `compile` stage, all others do nothing."""
        if not self._first_step_done:
            self._first_step_done = True
            self.lap("compile")

    def clock(self) -> Clock:
        """Return the seconds measured so far."""
        stages = {f"{stage}_seconds": seconds for stage, seconds in self._seconds.items()}
        total = sum(self._seconds.values())
        return Clock(**stages, total_seconds=total, train_cpu_seconds=self._train_cpu_seconds)

    def _read(self) -> None:
        self.synchronize()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
