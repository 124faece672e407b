"""Every run: its numbers, its error if it failed, its machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runners.core.record import RunRecord
from runners.report.sections.parts import LONGEST, Section, Table
from runners.report.wording import ABSENT, counted, number

if TYPE_CHECKING:
    from runners.report.build import Report

CORES = "cores in use while training"


def runs(report: "Report") -> Section:
    """A row a run."""
    heading = (
        *("run", "status", "attempts", "test accuracy", "test loss", "training s", "load before", "load after"),
        *("initial weights", "batch order"),
    )
    rows = [_run_cells(record) for record in report.records[:LONGEST]]
    left_out = len(report.records) - len(rows)
    told = [f"The first {LONGEST:,} of {len(report.records):,} runs; `tables/runs.csv` has all."] if left_out else []
    note = (
        "The last two columns begin the SHA-256 of the weights that the model really started from and of the batch"
        " order that it was fed; in a matched pair both are equal. A native run's order is its framework's own."
        " **Load** is the machine's average number of busy processes in the minute before."
    )
    return Section("runs", "Runs", told, [Table("Every run", [heading, *rows], 2, "runs")], notes=[note])


def _run_cells(record: RunRecord) -> tuple[str, ...]:
    last, clock, seen = record.epochs[-1] if record.epochs else None, record.clock, record.environment
    return (
        record.run_id,
        record.status,
        str(record.attempts),
        number(last.test_accuracy if last else None, 4),
        number(last.test_loss if last else None, 4),
        number(clock.train_seconds if clock else None, 1),
        number(seen.load_before if seen else None, 1),
        number(seen.load_after if seen else None, 1),
        (record.init_sha256 or ABSENT)[:8],
        (record.order_sha256 or ABSENT)[:8],
    )


def failures(report: "Report") -> Section:
    """What went wrong, each error once."""
    alike: dict[tuple[str, str], list[RunRecord]] = {}
    for record in report.unsuccessful:
        alike.setdefault((record.status, record.error or ABSENT), []).append(record)
    texts = [(_failed(runs), error) for (_, error), runs in list(alike.items())[: LONGEST // 10]]
    told = "" if alike else "Every run that has a record completed."
    if len(alike) > len(texts):
        told = f"The first {len(texts)} of {len(alike):,} different errors; the records in `runs/` have all."
    return Section("failures", "Failures", [told] if told else [], texts=texts)


def _failed(runs: Sequence[RunRecord]) -> str:
    first, *others = runs
    told = f"{first.run_id}: {first.status} after {counted(first.attempts, 'attempt')}, seed {first.spec.seed}"
    return f"{told}; so did {counted(len(others), 'other run')}" if others else told


def environment(report: "Report") -> Section:
    """What the runs of each contender and track saw of their machines."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in report.records:
        if record.environment:
            groups.setdefault(f"{record.spec.contender}, {record.spec.track}", []).append(_facts(record))
    facts = dict.fromkeys(key for seen in groups.values() for one in seen for key in one)
    rows = [(key, *(_seen(key, seen) for seen in groups.values())) for key in facts]
    told = [] if groups else ["No run got far enough to see its machine."]
    tables = [Table("What the runs of each contender and track saw", [("fact", *groups), *rows], 99)] if groups else []
    note = "Where runs differ, every value seen is listed."
    return Section("environment", "Environment", told, tables, notes=[note] if groups else [])


def _seen(key: str, seen: Sequence[dict[str, Any]]) -> str:
    values = list(dict.fromkeys(str(facts.get(key, ABSENT)) for facts in seen))
    if len(values) > 6 and key == CORES:
        numbers = sorted(float(value) for value in values if value != ABSENT)
        return f"{numbers[0]} to {numbers[-1]}"
    more = f"; and {len(values) - 6:,} more" if len(values) > 6 else ""
    return "; ".join(values[:6]) + more


def _facts(record: RunRecord) -> dict[str, Any]:
    seen = record.environment
    assert seen is not None
    facts = {
        "node": seen.node,
        "processor": f"{seen.cpu_model}, {seen.cpu_cores} cores, {seen.memory_bytes / 2**30:.0f} GiB",
        "GPU": f"{seen.gpu_model}, driver {seen.gpu_driver}" if seen.gpu_model else "none used",
        "system": seen.os,
        **{f"version of {package}": version for package, version in seen.versions.items()},
        **{name.replace("_", " "): value for name, value in seen.flags.items()},
        "git commit": seen.git_commit,
        "SHA-256 of the data": seen.data_sha256[:12],
        "SHA-256 of the code": seen.code_sha256[:12],
    }
    if record.clock and record.clock.train_seconds:
        facts[CORES] = f"{record.clock.train_cpu_seconds / record.clock.train_seconds:.1f}"
    return facts
