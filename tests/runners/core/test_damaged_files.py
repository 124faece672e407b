"""What a results folder keeps beside its records: a value that nothing can have left there is damage, and said so."""

import json

import pytest
from pydantic import ValidationError

from runners.core import store
from runners.core.errors import BadInput
from runners.core.record import Machine
from runners.core.study import Plan, Study
from runners.parity import checks, divergence
from runners.parity.divergence import Divergence, Line
from runners.report import pilot
from runners.report.pilot import Pilot
from tests.runners.report.conftest import an_audit

PLAN = Plan(contenders=("keras", "torch"), tracks=("matched",), seeds=(0, 1), epochs=2)
DRIVER = Machine(node="here", os="Linux", cpu_model="a processor", cpu_cores=2, memory_bytes=2**30)
HASHES = {"git_commit": None, "code_sha256": "c" * 64, "data_sha256": "d" * 64}
LINE = Line(a="keras", b="torch", framework=None, precision="float32", distances=(0.0, float("inf")))
KEPT = {
    "study.json": (Study(plan=PLAN, command="", versions={}, driver=DRIVER, **HASHES), store.read_study),
    "pilot.json": (Pilot(seeds=(0, 1, 2, 3, 4), half_width=0.001, runs=9), pilot.kept),
    "audit.json": (an_audit(), checks.read),
    "divergence.json": (Divergence(steps=(1, 4), lines=(LINE,)), divergence.read),
}
EXACT = {"precision": "exact", "check": "data", "a": "keras", "b": "torch", "measured": 0, "allowed": 0}
IMPOSSIBLE = [
    ("study.json", "plan.seeds", []),
    ("study.json", "plan.seeds", [0, 0]),
    ("study.json", "plan.seeds", list(range(100_001))),
    ("study.json", "plan.epochs", 10**9),
    ("study.json", "plan.threads", 0),
    ("study.json", "plan.optimizer.learning_rate", 1e39),
    ("study.json", "plan.accuracy_margin", 0),
    ("study.json", "plan.accuracy_margin", "NaN"),
    ("study.json", "plan.time_margin", 1),
    ("study.json", "plan.time_margin", "Infinity"),
    ("study.json", "plan.loss_margin", 0.9),
    ("study.json", "plan.target_accuracy", 1.5),
    ("study.json", "code_sha256", "none"),
    ("study.json", "data_sha256", "D" * 64),
    ("study.json", "driver.cpu_cores", 0),
    ("study.json", "driver.memory_bytes", -1),
    ("pilot.json", "half_width", -0.001),
    ("pilot.json", "half_width", "Infinity"),
    ("pilot.json", "half_width", 1e-12),
    ("pilot.json", "runs", 4),
    ("pilot.json", "runs", 100_001),
    ("pilot.json", "seeds", [0, 0, 1, 2, 3]),
    ("pilot.json", "seeds", list(range(10))),
    ("pilot.json", "seeds.0", -1),
    ("audit.json", "rows", []),
    ("audit.json", "rows", [EXACT]),
    ("audit.json", "rows.0.measured", -1e-9),
    ("audit.json", "rows.0.measured", "-Infinity"),
    ("audit.json", "rows.0.allowed", -1),
    ("audit.json", "rows.0.allowed", "Infinity"),
    ("audit.json", "seconds", -1),
    ("audit.json", "seconds", "NaN"),
    ("divergence.json", "steps", []),
    ("divergence.json", "steps", [1]),
    ("divergence.json", "steps", [4, 4]),
    ("divergence.json", "steps", [4, 1]),
    ("divergence.json", "steps", [0, 1]),
    ("divergence.json", "lines", []),
    ("divergence.json", "lines.0.distances", [0.5]),
    ("divergence.json", "lines.0.distances.1", -0.5),
    ("divergence.json", "lines.0.framework", "jax"),
]


def planted(whole, place, value):
    """The JSON with a value in a place written as in `plan.seeds`."""
    tree = json.loads(whole)
    *steps, last = [int(step) if step.isdecimal() else step for step in place.split(".")]
    inner = tree
    for step in steps:
        inner = inner[step]
    assert inner[last] != value
    inner[last] = value
    return json.dumps(tree)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_whole_is_read_back(tmp_path, name):
    kept, read = KEPT[name]
    (tmp_path / name).write_text(kept.model_dump_json())
    assert read(tmp_path) == kept


@pytest.mark.parametrize(("name", "place", "value"), IMPOSSIBLE, ids=lambda part: str(part)[:30])
def test_an_impossible_value_is_refused_in_one_sentence(tmp_path, name, place, value):
    kept, read = KEPT[name]
    (tmp_path / name).write_text(planted(kept.model_dump_json(), place, value))
    with pytest.raises(BadInput) as refusal:
        read(tmp_path)
    told = str(refusal.value)
    assert told.startswith(f"{tmp_path / name} is no {name.removesuffix('.json')} of this version: ")
    assert "\n" not in told


def test_a_divergence_without_a_step_is_refused():
    with pytest.raises(ValidationError, match="steps"):
        Divergence(steps=(), lines=(LINE.model_copy(update={"distances": ()}),))


def test_a_check_that_cannot_be_told_is_kept_as_one_that_fails(tmp_path):
    rows = json.loads(planted(an_audit().model_dump_json(), "rows.0.measured", "NaN"))
    (tmp_path / "audit.json").write_text(json.dumps(rows))
    audit = checks.read(tmp_path)
    assert audit is not None
    assert [row.check for row in audit.failed] == ["loss"]
