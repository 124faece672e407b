"""Made-up records, and results folders that hold them as real runs leave them."""

from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from runners.core import store
from runners.core.record import Clock, Environment, EpochRow, RunRecord, RunResult
from runners.core.spec import RunSpec
from runners.core.study import Plan, Study, run_specs
from runners.parity import checks
from runners.parity.checks import Audit, AuditRow
from runners.report.build import build
from runners.report.columns import tabulate
from runners.report.inputs import Inputs
from runners.report.tables import epochs_table, runs_table

BEGUN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
COMMAND = "python scripts/compare.py keras torch --seeds 5 --out 'results/a & b'"
ENVIRONMENT = Environment(
    node="node-1",
    os="Linux-6.1",
    cpu_model="Made-up CPU",
    cpu_cores=8,
    memory_bytes=2**34,
    versions={"python": "3.11.9", "numpy": "2.4.6"},
    flags={"intra_op_threads": 1, "tf32": False},
    git_commit="c0ffee" * 6 + "c0ff",
    code_sha256="c" * 64,
    data_sha256="d" * 64,
    load_before=0.5,
    load_after=1.5,
)
HASHES = {"git_commit": ENVIRONMENT.git_commit, "code_sha256": "c" * 64, "data_sha256": "d" * 64}
ACCURACIES = [0.893, 0.889, 0.902, 0.897, 0.885]
LOSSES = [0.31, 0.29, 0.30, 0.33, 0.28]
SCRIPT = "<script>alert('out of luck')</script>"
TRACEBACK = f'Traceback (most recent call last):\n  File "train.py", line 7, in step\nRuntimeError: {SCRIPT}'


def _record(contender="keras", seed=0, track="matched", *, status="completed", error=None, **given):
    """A run with numbers of its own; `given` are its spec's settings and what `_row` and `_clock` are to say."""
    settings = {name: given.pop(name) for name in list(given) if name in RunSpec.model_fields}
    spec = RunSpec(contender=contender, seed=seed, track=track, **{"epochs": 2, **settings})
    whole = {"run_id": spec.run_id, "spec": spec, "status": status, "error": error, "started_at": BEGUN}
    if status in ("failed", "oom"):
        return RunRecord(**whole, node="node-1")
    rng = np.random.default_rng(list(spec.run_id.encode()))
    rows = tuple(_row(epoch, rng, given) for epoch in range(1, spec.epochs + 1))
    if status == "diverged" and not any(row.diverged for row in rows):
        rows = (*rows[:-1], rows[-1].model_copy(update={"train_loss": np.nan}))
    seen = {"node": "node-1", "init_sha256": "a1" * 32, "order_sha256": "b2" * 32 if track == "matched" else None}
    return RunRecord(**whole, **seen, epochs=rows, clock=_clock(rows, given), environment=ENVIRONMENT)


def _row(epoch, rng, given):
    values = {
        "train_loss": 0.6 / epoch + 0.02 * rng.random(),
        "train_accuracy": 0.78 + 0.01 * epoch,
        "test_loss": 0.5 / epoch + 0.05 * rng.random(),
        "test_accuracy": 0.85 + 0.02 * rng.random(),
        "learning_rate": 1e-3,
        "train_seconds": 2 + 0.1 * rng.random(),
        "eval_seconds": 0.25,
    }
    told = {name: given[name] for name in ("train_loss", "test_loss", "test_accuracy") if name in given}
    if "test_accuracies" in given:  # of each epoch
        told["test_accuracy"] = given["test_accuracies"][epoch - 1]
    return EpochRow(epoch=epoch, **{**values, **told})


def _clock(rows, given):
    stages = {
        "startup_seconds": 1.0,
        "import_seconds": 2.0,
        "data_seconds": 0.5,
        "build_seconds": 0.125,
        "compile_seconds": 0.75,
        "train_seconds": given.get("train_seconds", sum(row.train_seconds for row in rows)),
        "eval_seconds": sum(row.eval_seconds for row in rows),
        "checkpoint_seconds": 0.0625,
        "other_seconds": 0.25,
    }
    total = given.get("total_seconds", sum(stages.values()))
    if "total_seconds" in given:  # all that is not training is starting up then
        stages = {"train_seconds": min(stages["train_seconds"], total)}
        stages["startup_seconds"] = total - stages["train_seconds"]
    return Clock(**stages, total_seconds=total, train_cpu_seconds=4.0)


def _plan(**given):
    return Plan(**{"contenders": ("keras", "torch"), "tracks": ("matched",), "seeds": range(5), "epochs": 2, **given})


def an_audit(a="keras", b="torch", *, fails=False, plan=None):
    """One check that holds, and one that may not, under the conditions of a plan."""
    plan = plan or _plan()
    row = AuditRow(check="loss", precision="float64", a=a, b=b, measured=3e-15, allowed=1e-12)
    found = {"measured": 0.5, "finding": "conv1/kernel is the first to differ; look at the loop"} if fails else {}
    rows = (row, row.model_copy(update={"check": "gradient", **found}))
    return Audit(
        level="quick",
        rows=rows,
        machines=(ENVIRONMENT.cpu_model,),
        conditions=checks.conditions(plan.contenders, plan, "c" * 64, {}),
        seconds=12.0,
    )


def cells(columns, rows):
    """A table as it is read: its heading, then its rows."""
    table = tabulate("", columns, rows)
    return [table.heading, *table.rows]


def made_inputs(plan, records, *, unmatched=(), **given):
    """What a report is made from, without a folder; `unmatched` contenders fail the parity audit."""
    seen = [record.environment for record in records if record.environment]
    machines = [model for machine in seen for model in (machine.cpu_model, machine.gpu_model) if model]
    nothing = {"unreadable": (), "predictions": {}, "unpredicted": (), "labels": None, "damaged": ()}
    return Inputs(
        folder=Path("results/made-up"),
        study=Study(plan=plan, command=COMMAND, begun_at=BEGUN, versions={}, **HASHES),
        records=tuple(records),
        runs=runs_table(records, plan.target_accuracy),
        epochs=epochs_table(records),
        audit=SimpleNamespace(unmatched=frozenset(unmatched), failed=(), machines=machines, defaults=()),
        divergence=None,
        pilot=None,
        **(nothing | given),
    )


def make_stub_study(folder, contenders=("keras", "torch"), seeds=range(5), *, changed=None, left_out=(), **settings):
    """A results folder with a record of every run, save for those `left_out`; `changed` run ids get what they map to.

    Each change is the arguments by which `make_record` makes that run otherwise.
    """
    plan = _plan(contenders=contenders, seeds=seeds, **settings)
    checks.write(folder, an_audit(plan=plan))
    store.save_labels(folder, np.arange(10_000, dtype=np.uint8) % 10)
    store.write_study(folder, Study(plan=plan, command=COMMAND, begun_at=BEGUN, versions={}, **HASHES))
    for spec in run_specs(plan):
        if spec.run_id not in left_out:
            given = {name: getattr(spec, name) for name in RunSpec.model_fields}
            record = _record(**given, **(changed or {}).get(spec.run_id, {}))
            store.save_result(folder, RunResult(record, predictions=np.zeros(10_000, np.uint8)))
    return folder


@pytest.fixture(scope="session")
def make_record():
    return _record


@pytest.fixture(scope="session")
def make_runs():
    """A runs table of one contender on a track, of these accuracies and losses by seed; `changed` as in a folder."""

    def table(contender="keras", track="matched", seeds=range(5), changed=None, accuracies=ACCURACIES):
        numbers = {seed: {"test_accuracy": accuracies[seed], "test_loss": LOSSES[seed]} for seed in seeds}
        records = [_record(contender, seed, track, **numbers[seed], **(changed or {}).get(seed, {})) for seed in seeds]
        return runs_table(records)

    return table


@pytest.fixture(scope="session")
def make_plan():
    return _plan


@pytest.fixture(scope="session")
def make_study_folder():
    return make_stub_study


@pytest.fixture
def study_folder(tmp_path):
    return partial(make_stub_study, tmp_path)


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    """The report of a study with both tracks in which everything went wrong once."""
    folder = make_stub_study(
        tmp_path_factory.mktemp("everything"),
        tracks=("matched", "native"),
        changed={
            "torch-matched-seed3": {"status": "failed", "error": TRACEBACK},
            "keras-native-seed1": {"status": "diverged", "error": "the loss is not finite", "test_loss": float("nan")},
            "torch-native-seed2": {"status": "oom", "error": "OutOfMemoryError: 80 GiB"},
        },
        left_out=["torch-native-seed4"],
    )
    (folder / "runs" / "torch-native-seed4.json").write_text('{"run_id": "torch-nat')
    report = build(folder)
    assert Counter(record.status for record in report.inputs.records) == {
        "completed": 16,
        "failed": 1,
        "diverged": 1,
        "oom": 1,
    }
    return report
