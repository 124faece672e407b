"""The one-way street between the folders, seen in what a fresh process has loaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from runners.core.environment import PROJECT

FRAMEWORKS = {"keras", "tensorflow", "torch"}


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import lenet.data, lenet.network", FRAMEWORKS | {"ray", "runners", "cluster", "scripts"}),
        ("import runners.core.run, runners.core.study, runners.core.store", FRAMEWORKS | {"ray", "cluster", "scripts"}),
        ("import runners.report.build, runners.report.output.terminal", FRAMEWORKS | {"ray", "cluster", "scripts"}),
        ("import cluster.executor, cluster.session, cluster.inline", FRAMEWORKS | {"scripts"}),
        ("import scripts.report, scripts.seed_variance, scripts.progress", FRAMEWORKS | {"ray"}),
        ("import scripts.compare", FRAMEWORKS),
        ("from runners.core.runner import load_runner; load_runner('keras')", {"torch", "ray", "cluster"}),
        (
            "from runners.core.runner import load_runner; load_runner('torch')",
            {"tensorflow", "keras", "ray", "cluster"},
        ),
    ],
)
def test_a_folder_loads_nothing_from_above_it_and_no_foreign_framework(statement: str, never: set[str]) -> None:
    assert not loaded_by(statement) & never


def test_the_boundary_check_sees_what_is_loaded() -> None:
    assert {"torch", "runners"} <= loaded_by("from runners.core.runner import load_runner; load_runner('torch')")


# Of these formats, reading a file of somebody else's may run what is in it.
EXECUTE = {"yaml", "pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
SOURCES = sorted(
    path for folder in ("lenet", "runners", "cluster", "scripts") for path in (PROJECT / folder).rglob("*.py")
)


def imported_in(source: str) -> set[str]:
    """The packages that are imported anywhere in it."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in plain | named}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_file_is_read_in_a_format_that_can_run_code(path: Path) -> None:
    assert not imported_in(path.read_text()) & EXECUTE
