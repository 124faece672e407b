"""A study of stub runs in the folder named, done as scripts/compare.py does one: only the training is not real."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from cluster import study as of_cluster
from lenet.data import FashionMnist
from runners.core import store
from runners.core.record import Clock, EpochRow, RunRecord, RunResult
from runners.core.spec import RunSpec
from runners.core.study import Plan
from scripts import options
from scripts.progress import Progress
from tests.helpers.stubs import NO_DATA, row

PLAN = Plan(contenders=("torch",), tracks=("matched",), seeds=tuple(range(16)), epochs=3)  # type: ignore[arg-type]
SECONDS_PER_EPOCH = 0.2


def stub_run(
    _software: object, spec: RunSpec, _data: FashionMnist, on_epoch: Callable[[EpochRow], None], *_: object
) -> RunResult:
    rows = []
    for epoch in range(1, spec.epochs + 1):
        time.sleep(SECONDS_PER_EPOCH)
        rows.append(row(epoch))
        on_epoch(rows[-1])
    seconds = spec.epochs * SECONDS_PER_EPOCH
    clock = Clock(other_seconds=seconds, total_seconds=seconds)
    record = RunRecord(run_id=spec.run_id, spec=spec, status="completed", epochs=tuple(rows), clock=clock)
    return RunResult(record, np.zeros(10_000, np.uint8), b"weights")


def study(folder: Path) -> None:
    """Do what is missing of the study, its failed runs too."""
    of_cluster.run_of_study = stub_run  # type: ignore[assignment]
    may = of_cluster.Permissions(retry_failed=True, isolate=False)
    console = options.stdout_console()
    tell, progress = partial(console.print, markup=False), partial(Progress, console)
    with options.exit_codes():
        store.prepare(folder)
        with options.holding(folder, console):
            of_cluster.complete(folder, PLAN, "cpu", "local", NO_DATA, may, tell, progress)
            done = store.existing_study(folder)
            records, _ = store.read_records(folder, done)
    raise SystemExit(0 if all(record.status == "completed" for record in records) else options.RUNS_FAILED)


if __name__ == "__main__":
    options.run_app(study)
