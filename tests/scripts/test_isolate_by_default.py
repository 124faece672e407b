"""Each framework has an environment of its own where GPUs are used, unless one is told otherwise."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster import isolation, nodes, ready, session, study
from cluster.isolation import shared
from cluster.parity import audit_processes
from cluster.place import Place
from runners.core.spec import RunSpec
from runners.core.study import Plan
from scripts.progress import screen
from tests.helpers.stubs import NO_DATA


class Asked(Exception):
    """Environments were asked for: these."""


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment is made: its name stands for it, and the first who asks for one goes no further."""

    def ask(_frameworks: Any, _needs: Any, environments: Any, _tell: Any) -> None:
        raise Asked(environments)

    monkeypatch.setattr(isolation, "isolated", lambda device: f"isolated, for {device}")
    monkeypatch.setattr(ready, "versions_on_nodes", ask)
    for module in (session, study):
        monkeypatch.setattr(module, "session", lambda address: nullcontext("here"))
    for module in (nodes, study):
        monkeypatch.setattr(module, "device_here", lambda: "gpu")
    monkeypatch.setattr(ready, "preflight", lambda _need: None)
    monkeypatch.setattr(ready, "wait_for_room", lambda *_: None)


def run_compare(device: str, isolate: bool | None, out: Path) -> None:
    plan = Plan(contenders=("torch",), tracks=("native",), seeds=(0,))
    place = Place("auto", device, isolate)
    study.complete(out, plan, place, NO_DATA, study.Permissions(), screen(Console(quiet=True)))


def run_audit(device: str, isolate: bool | None, _out: Path) -> None:
    with audit_processes(Place("auto", device, isolate), [RunSpec(contender="torch")], print):
        pass


@pytest.mark.parametrize("script", [run_compare, run_audit])
@pytest.mark.parametrize(
    ("device", "isolate", "expected"),
    [
        ("auto", None, "isolated, for gpu"),
        ("gpu", None, "isolated, for gpu"),
        ("gpu", False, shared),
        ("cpu", None, shared),
        ("cpu", True, "isolated, for cpu"),
    ],
)
def test_on_gpus_frameworks_are_isolated_unless_told_otherwise(
    script: Callable[..., None], device: str, isolate: bool | None, expected: object, tmp_path: Path
) -> None:
    with pytest.raises(Asked) as asked:
        script(device, isolate, tmp_path)
    assert asked.value.args == (expected,)
