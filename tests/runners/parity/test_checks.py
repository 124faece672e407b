"""The audit must be able to fail: unfairness is planted in a copy of the project, and the right check must name it."""

import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenet.data import FashionMnist, scale
from runners.core.errors import BadInput
from runners.core.spec import Adam, Contender, Settings
from runners.parity import checks
from runners.parity.checks import CHECKS, Audit, AuditRow, compare, conditions, pairs
from runners.parity.evidence import Task, Witness
from runners.report.sections.parity import audit_grid, summary
from tests.helpers import many_witnesses
from tests.helpers.faults import FAULTS, IN_FAST, Fault

PROJECT = Path(checks.__file__).parents[2]
FRAMEWORKS = ("keras", "torch")


ONE_A_CHECK = [pytest.param(fault, id=fault.name) for fault in IN_FAST]
OTHERS = [pytest.param(fault, id=fault.name, marks=pytest.mark.thorough) for fault in FAULTS if fault not in IN_FAST]


def task(framework: str) -> Task:
    return Task(contender=framework, settings=Settings(), level="quick")


@pytest.fixture(scope="module")
def witnesses(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Witness]:
    """A quick one of each framework from the project as it is, and of each fault from a copy where it is planted.

    Only of faults for which there are tests in this session. Where a fault shows before the first step, what training
    shows is taken from the project as it is.
    """
    folder = tmp_path_factory.mktemp("projects")
    named = [getattr(item, "callspec", None) for item in request.session.items]
    faults = [spec.params["fault"] for spec in named if spec and "fault" in spec.params]
    sides = {name: name for name in FRAMEWORKS} | {fault.name: fault.framework for fault in faults}
    levels = {fault.name: "quick" if fault.trains else "look" for fault in faults}
    copies = {name: folder / str(number) for number, name in enumerate(sides)}
    for copy in copies.values():
        for part in ("lenet", "runners"):
            shutil.copytree(PROJECT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "report"))
    for fault in faults:
        fault.plant(copies[fault.name])
    for framework in FRAMEWORKS:
        asked = [f"{levels.get(name, 'quick')}:{copies[name]}" for name, side in sides.items() if side == framework]
        command = [sys.executable, many_witnesses.__file__, framework, *asked]
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    clean = {name: left_in(copies[name], Witness(name)) for name in FRAMEWORKS}
    return clean | {fault.name: left_in(copies[fault.name], clean[fault.framework]) for fault in faults}


def left_in(project: Path, clean: Witness) -> Witness:
    """The witness of a copy; `clean` is its framework's from the project as it is."""
    if (project / "death").exists():
        return Witness(clean.contender, death=(project / "death").read_text())
    if (project / "problem").exists():
        return Witness(clean.contender, problem=(project / "problem").read_text())
    shown = pickle.loads((project / "witness").read_bytes())
    if isinstance(shown, Witness):
        return shown
    return replace(clean, fed=shown.fed, shown=clean.shown | {"forward float32": shown.block_outputs})


def rows_of(sides: dict[str, Witness], data: FashionMnist) -> tuple[AuditRow, ...]:
    return compare([task(name) for name in FRAMEWORKS], [sides[name] for name in FRAMEWORKS], data)


def failed(rows: tuple[AuditRow, ...]) -> list[AuditRow]:
    return [row for row in rows if not row.holds]


def test_the_two_frameworks_hold_against_each_other(witnesses: dict[str, Witness], fashion_mnist: FashionMnist) -> None:
    rows = rows_of(witnesses, fashion_mnist)
    assert failed(rows) == []
    only_full = {"one step float32", "evaluation float32", "epoch Adam float64", "epoch SGD float64"}
    quick = [check.name for check in CHECKS if check.key not in only_full]
    exact = ["process", "architecture", "data", "initial weights", "batch order"]
    assert [row.check for row in rows] == [*exact, *quick]


@pytest.mark.parametrize("fault", ONE_A_CHECK + OTHERS)
def test_a_planted_fault_is_caught_and_named(
    fault: Fault, witnesses: dict[str, Witness], fashion_mnist: FashionMnist
) -> None:
    sides = witnesses | {fault.framework: witnesses[fault.name]}
    first = failed(rows_of(sides, fashion_mnist))[0]
    assert first.check == fault.check, first.finding
    assert fault.says in first.finding
    assert "look at" in first.finding


# Every compared check, the whole epochs too, with made-up arrays


def made_up(name: str, changed: str | None = None, by: float = 0.0) -> Witness:
    random = np.random.default_rng(0)
    shown = {check.key: {"first": random.normal(size=9), "second": random.normal(size=9)} for check in CHECKS}
    if changed is not None:
        shown[changed]["second"] = shown[changed]["second"] * (1 + by)
    return Witness(name, shown={**shown, "steps taken": {}})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.name}, {check.precision}")
@pytest.mark.parametrize("by", [2.0, -2.0, np.nan, np.inf])
def test_what_differs_by_more_than_allowed_fails_its_check_and_no_other(
    check: checks.Check, by: float, fashion_mnist: FashionMnist
) -> None:
    sides = {"keras": made_up("keras"), "torch": made_up("torch", check.key, by * check.allowed)}
    compared = [row for row in rows_of(sides, fashion_mnist) if row.precision != "exact" and not row.holds]
    assert [(row.check, row.precision) for row in compared] == [(check.name, check.precision)]
    assert compared[0].finding.startswith("second is the first to differ")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.name}, {check.precision}")
def test_what_differs_by_less_than_allowed_holds(check: checks.Check, fashion_mnist: FashionMnist) -> None:
    sides = {"keras": made_up("keras"), "torch": made_up("torch", check.key, 0.5 * check.allowed)}
    rows = {(row.check, row.precision): row for row in rows_of(sides, fashion_mnist)}
    row = rows[check.name, check.precision]
    assert row.holds
    assert row.measured == pytest.approx(0.5 * check.allowed, rel=1e-2)
    assert {(row.a, row.b) for row in rows.values()} == {("keras", "torch")}
    assert {row.allowed for row in rows.values() if row.precision == "exact"} == {0}


@pytest.mark.parametrize(
    "lacking",
    [{}, {"first": np.ones(9)}, {"first": np.ones(9), "second": np.ones(8)}],
    ids=["nothing", "one array", "another shape"],
)
def test_what_only_one_side_shows_does_not_hold(lacking: dict[str, np.ndarray], fashion_mnist: FashionMnist) -> None:
    torch = made_up("torch")
    torch.shown["loss float64"] = lacking
    names = [row.check for row in failed(rows_of({"keras": made_up("keras"), "torch": torch}, fashion_mnist))]
    assert "loss" in names


def test_the_images_that_tell_the_order_are_all_different(fashion_mnist: FashionMnist) -> None:
    fed = scale(fashion_mnist.train_images[: task("keras").fed_images])
    assert len({image.tobytes() for image in fed}) == len(fed) == 224


# Who is held against whom, and for how long


@pytest.mark.parametrize(
    ("contenders", "expected"),
    [
        (["keras", "torch"], [("keras", "torch")]),
        (["torch", "keras", "torch:ddp:2"], [("torch", "keras"), ("torch", "torch:ddp:2")]),
        (["keras", "torch", "torch:ddp:2"], [("keras", "torch"), ("torch", "torch:ddp:2")]),
        (["keras", "torch:ddp:2"], [("keras", "torch:ddp:2")]),
    ],
)
def test_a_strategy_is_held_against_its_own_framework(contenders: list[str], expected: list[tuple[str, str]]) -> None:
    assert pairs([Contender.model_validate(text) for text in contenders]) == expected


CONTENDERS = tuple(Contender.model_validate(name) for name in FRAMEWORKS)


@pytest.mark.parametrize(
    "other",
    [{"threads": 2}, {"device": "gpu"}, {"batch_size": 64}, {"deterministic": True}, {"optimizer": Adam(epsilon=1e-8)}],
    ids=str,
)
def test_an_audit_holds_under_its_own_conditions_only(other: dict[str, object]) -> None:
    own = conditions(CONTENDERS, Settings(), "code", {"torch": "2"})
    assert own != conditions(CONTENDERS, Settings(**other), "code", {"torch": "2"})
    assert own != conditions(CONTENDERS[:1], Settings(), "code", {"torch": "2"})
    assert own != conditions(CONTENDERS, Settings(), "edited", {"torch": "2"})
    assert own != conditions(CONTENDERS, Settings(), "code", {"torch": "3"})
    assert own == conditions(CONTENDERS, Settings(epochs=3, limit_train=256), "code", {"torch": "2"})


def an_audit(*rows: AuditRow) -> Audit:
    return Audit(level="quick", rows=rows, machines=("Made-up CPU",), conditions={}, seconds=12.0)


GOOD = AuditRow(check="loss", precision="float64", a="keras", b="torch", measured=3e-15, allowed=1e-12)
BAD = GOOD.model_copy(update={"check": "gradient", "measured": np.inf, "finding": "conv1/kernel; look at the loop"})


def test_an_audit_survives_json_with_what_is_infinite(tmp_path: Path) -> None:
    written = an_audit(GOOD, BAD)
    checks.write(tmp_path, written)
    assert checks.read(tmp_path) == written
    assert written.failed == (BAD,)


def test_a_folder_without_an_audit_has_none(tmp_path: Path) -> None:
    assert checks.read(tmp_path) is None


def test_a_damaged_audit_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / checks.FILE).write_text("{")
    with pytest.raises(BadInput, match=r"audit\.json is no audit of this version"):
        checks.read(tmp_path)


def test_the_summary_tells_the_worst_or_the_first_that_failed() -> None:
    assert summary(an_audit(GOOD)) == (
        "Parity audit (quick): all 1 checks hold, the largest relative difference in float64 3e-15; 12 s on Made-up CPU"
    )
    told = summary(an_audit(GOOD, BAD))
    assert "1 of 2 checks do not hold, first gradient (float64). conv1/kernel; look at the loop" in told
    assert [cells[-1] for cells in audit_grid(an_audit(GOOD, BAD))] == ["yes", "NO"]
