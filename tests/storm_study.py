"""A study of stub runs in the folder named, done as scripts/compare.py does one: only the training is not real."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster import study as of_cluster
from runners.core import store
from runners.core.record import RunResult
from runners.core.study import Plan
from scripts import options
from scripts.progress import Progress
from tests.helpers.stubs import NO_DATA, stub

PLAN = Plan(contenders=("torch",), tracks=("matched",), seeds=tuple(range(16)), epochs=3)
SECONDS_PER_EPOCH = 0.2


def study(folder: Path) -> None:
    """Do what is missing of the study, its failed runs too."""
    notes = folder.parent / "notes"
    notes.mkdir(exist_ok=True)
    run = stub(notes, SECONDS_PER_EPOCH)

    def stub_run(_software: object, *given: Any) -> RunResult:
        return replace(run(*given), checkpoint=b"weights")

    setattr(of_cluster, "run_of_study", stub_run)  # noqa: B010 -- of which mypy says that it is not exported
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
