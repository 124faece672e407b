"""The runs themselves: every run with its numbers, what went wrong, and what the runs saw of their machines."""

from collections.abc import Sequence
from typing import Any

from runners.core.record import RunRecord
from runners.report.columns import Table
from runners.report.inputs import Inputs
from runners.report.section import LONGEST, Section
from runners.report.wording import ABSENT, counted, number

CORES = "cores in use while training"
HEADING = (
    *("run", "status", "attempts", "test accuracy", "test loss", "training s", "load before", "load after"),
    *("initial weights", "batch order"),
)


def runs_section(inputs: Inputs) -> Section:
    """Show a row a run."""
    rows = [_cells(record) for record in inputs.records[:LONGEST]]
    left_out = len(inputs.records) - len(rows)
    words = [f"The first {LONGEST:,} of {len(inputs.records):,} runs; `tables/runs.csv` has all."] if left_out else []
    note = (
        "The last two columns begin the SHA-256 of the weights that the model really started from and of the batch"
        " order that it was fed; in a matched pair both are equal. A native run's order is its framework's own."
        " **Load** is the machine's average number of busy processes in the minute before."
    )
    table = Table("Every run", HEADING, rows, 2, "runs")
    return Section("runs", "Runs", words, [table], notes=[note], data={"runs": inputs.runs})


def failures_section(inputs: Inputs) -> Section:
    """Show what went wrong, each error once."""
    alike: dict[tuple[str, str], list[RunRecord]] = {}
    for record in inputs.records:
        if record.status != "completed":
            alike.setdefault((record.status, record.error or ABSENT), []).append(record)
    texts = [(_failed(runs), error) for (_, error), runs in list(alike.items())[: LONGEST // 10]]
    words = [] if alike else ["Every run that has a record completed."]
    if len(alike) > len(texts):
        words = [f"The first {len(texts)} of {len(alike):,} different errors; the records in `runs/` have all."]
    return Section("failures", "Failures", words, texts=texts)


def environment_section(inputs: Inputs) -> Section:
    """Show the machines and software of each contender and track."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in inputs.records:
        if record.environment:
            groups.setdefault(f"{record.spec.contender}, {record.spec.track}", []).append(_facts(record))
    if not groups:
        return Section("environment", "Environment", ["No run got far enough to see its machine."])
    facts = dict.fromkeys(key for seen in groups.values() for one in seen for key in one)
    heading, rows = ("fact", *groups), [(key, *(_values(key, seen) for seen in groups.values())) for key in facts]
    table = Table("What the runs of each contender and track saw", heading, rows, len(heading))
    note = "Where runs differ, every value seen is listed."
    return Section("environment", "Environment", [], [table], notes=[note])


def _cells(record: RunRecord) -> tuple[str, ...]:
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


def _failed(runs: Sequence[RunRecord]) -> str:
    first, *others = runs
    text = f"{first.run_id}: {first.status} after {counted(first.attempts, 'attempt')}, seed {first.spec.seed}"
    return f"{text}; so did {counted(len(others), 'other run')}" if others else text


def _values(key: str, seen: Sequence[dict[str, Any]]) -> str:
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
