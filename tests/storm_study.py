"""A study of stub runs in the folder named, done as scripts/compare.py does one: only the training is not real."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster import study as of_cluster
from cluster.place import Place
from runners.core import store
from runners.core.record import RunResult
from runners.core.study import Plan
from scripts import options
from scripts.progress import screen
from tests.helpers.stubs import NO_DATA, stub

PLAN = Plan(contenders=("torch",), tracks=("matched",), seeds=tuple(range(16)), epochs=3)
SECONDS_PER_EPOCH = 0.2


def study(folder: Path) -> None:
    """Do what is missing of the study, its failed runs too."""
    notes = folder.parent / "notes"
    notes.mkdir(exist_ok=True)
    run = stub(notes, SECONDS_PER_EPOCH)

    def stub_job(_software: object, *given: Any) -> tuple[RunResult, ...]:
        return tuple(replace(result, checkpoint=b"weights") for result in run(*given))

    setattr(of_cluster, "run_job_of_study", stub_job)  # noqa: B010 -- of which mypy says that it is not exported
    place, may = Place("local", "cpu", isolate=False), of_cluster.Permissions(retry_failed=True)
    console = options.text_console()
    with options.exit_codes():
        store.prepare(folder)
        with options.locked(folder, console):
            of_cluster.complete(folder, PLAN, place, NO_DATA, may, screen(console))
            done = store.existing_study(folder)
            records, _ = store.read_records(folder, done)
    raise SystemExit(0 if all(record.status == "completed" for record in records) else options.RUNS_FAILED)


if __name__ == "__main__":
    options.run_app(study)
