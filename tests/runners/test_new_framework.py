"""A framework is one folder, one model file and one row: no other file names one, and one added so is complete."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runners.core.environment import PROJECT
from runners.core.frameworks import FRAMEWORKS

NAMES = re.compile(r"keras|tensorflow|torch", re.IGNORECASE)
ROW = "runners/core/frameworks.py"
ARTICLE = {f"scripts/{name}_model.py" for name in ("keras", "pytorch")}  # the article's two scripts stand alone
OF_THE_DATA = {"lenet/data.py"}  # Keras keeps a copy of Fashion-MNIST, for whoever trains on it
FOLDERS = ("lenet", "runners", "cluster", "scripts")


def own_files(framework: str) -> set[str]:
    folder = PROJECT / "runners" / framework
    files = {str(path.relative_to(PROJECT)) for path in folder.rglob("*.py")}
    return files | {f"lenet/{framework}_model.py"}


def words_of(source: str) -> set[str]:
    """Every name and every text of the code; comments and docstrings may give an example."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    words = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                words.add(text)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                words.add(name)
            case ast.Import(names=names):
                words |= {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names):
                words |= {module or "", *(alias.name for alias in names)}
    return words


def test_no_other_file_names_a_framework() -> None:
    allowed = {ROW}.union(ARTICLE, OF_THE_DATA, *map(own_files, FRAMEWORKS))
    files = {str(path.relative_to(PROJECT)) for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")}
    assert set().union(*map(own_files, FRAMEWORKS)) <= files
    words = {name: words_of((PROJECT / name).read_text()) for name in files - allowed}
    assert [(name, word) for name in sorted(words) for word in words[name] if NAMES.search(word)] == []


@pytest.mark.thorough
def test_a_framework_added_in_its_three_places_runs_through_study_audit_and_report(tmp_path: Path) -> None:
    """The made-up framework `flame` is PyTorch under another name."""
    project = tmp_path / "project"
    for folder in FOLDERS:
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, project / name)
    rename = {"runners.torch": "runners.flame", "lenet.torch_model": "lenet.flame_model", '["torch"]': '["flame"]'}

    def copy(source: Path, target: Path) -> None:
        text = source.read_text()
        for before, after in rename.items():
            text = text.replace(before, after)
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)

    for path in (project / "runners" / "torch").glob("*.py"):
        copy(path, project / "runners" / "flame" / path.name)
    copy(project / "lenet" / "torch_model.py", project / "lenet" / "flame_model.py")
    table = project / ROW
    row = re.search(r'    "torch": Framework\(\n.*?\n    \),\n', table.read_text(), re.DOTALL)
    assert row is not None
    flame = row[0].replace('"torch": ', '"flame": ', 1).replace('label="PyTorch"', 'label="Flame"')
    table.write_text(table.read_text().replace(row[0], row[0] + flame))

    out = tmp_path / "out"
    options = ["--seeds", "2", "--epochs", "1", "--limit-train", "512", "--address", "local", "--json"]
    done = subprocess.run(
        [sys.executable, str(project / "scripts" / "compare.py"), "torch", "flame", *options, "--out", str(out)],
        env={**os.environ, "PYTHONPATH": str(project)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "checks hold" in done.stderr, "the audit"
    runs = pd.read_csv(out / "tables" / "runs.csv")
    assert set(runs["framework"]) == {"torch", "flame"}
    (one, other) = runs.groupby("framework")["test_loss"].apply(list)
    assert one == other, "it is the same framework"
    assert "Flame" in (out / "report.html").read_text()
    code = "from runners.core.environment import hashed_sources as all; print(*all())"
    hashed = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    assert "runners/flame/runner.py" in hashed
