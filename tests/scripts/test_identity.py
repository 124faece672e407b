"""The code that runs is the code that is recorded, whatever lies in the current folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runners.core.environment import PROJECT, code_sha256
from runners.core.record import RunRecord
from tests.helpers.processes import command, environment, run_script


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another checkout, whose PyTorch network has another activation."""
    project = tmp_path_factory.mktemp("copy")
    for name in ("cluster", "lenet", "runners", "scripts"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    model = project / "lenet" / "torch_model.py"
    assert "torch.relu" in model.read_text()
    model.write_text(model.read_text().replace("torch.relu", "torch.tanh"))
    return project


@pytest.mark.thorough
def test_runs_are_done_by_the_driver_s_own_code_in_the_folder_of_another_checkout(copy: Path, tmp_path: Path) -> None:
    run = ("torch", "--epochs", 1, "--limit-train", 256)
    by_hand = run_script("train", *run, "--out", tmp_path / "by hand")
    assert by_hand.returncode == 0, by_hand.stderr
    words = command("compare", *run, "--seeds", 1, "--address", "local", "--out", tmp_path / "study")
    study = subprocess.run(words, cwd=copy, env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert study.returncode == 0, study.stdout + study.stderr
    texts = [(tmp_path / name / "runs" / "torch-matched-seed0.json").read_text() for name in ("by hand", "study")]
    one, other = map(RunRecord.model_validate_json, texts)
    assert one.epochs[0].test_loss == other.epochs[0].test_loss
    assert other.environment is not None
    hashes = {other.environment.code_sha256, json.loads((tmp_path / "study" / "study.json").read_text())["code_sha256"]}
    assert hashes == {code_sha256()}


def test_a_script_of_another_checkout_than_the_installed_one_is_refused_with_both_named(copy: Path) -> None:
    script = copy / "scripts" / "report.py"
    done = subprocess.run([sys.executable, str(script), "x"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {script} would use the code in {PROJECT}; run {PROJECT}/scripts/report.py,")
    assert done.stderr.count("\n") == 1


def test_a_script_on_its_own_must_be_the_installed_one(tmp_path: Path) -> None:
    alone = tmp_path / "report.py"
    shutil.copy(PROJECT / "scripts" / "report.py", alone)
    same = subprocess.run(
        [sys.executable, str(alone), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (same.returncode, same.stderr) == (0, "")
    alone.write_text(alone.read_text() + "# older\n")
    older = subprocess.run(
        [sys.executable, str(alone), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert older.returncode == 2
    assert older.stderr.startswith(f"error: {alone} is not the report.py of the project installed in {PROJECT};")
