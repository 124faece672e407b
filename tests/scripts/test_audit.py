"""The audit as people run it, and as a study with a planted fault meets it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runners.parity import checks
from tests.helpers.faults import FAULTS
from tests.helpers.processes import SCRIPTS, environment, run_script

pytestmark = pytest.mark.thorough

PROJECT = SCRIPTS.parent
SMALL = ("--address", "local", "--limit-train", 1280, "--epochs", 1, "--seeds", 1)


@pytest.fixture
def unfair(tmp_path: Path) -> Path:
    """The project with average pooling on one side."""
    project = tmp_path / "project"
    for folder in ("cluster", "lenet", "runners", "scripts"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (fault,) = (fault for fault in FAULTS if fault.name == "average pooling")
    fault.plant(project)
    return project


def run_copy(project: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A copy's compare.py from within it: Ray's workers look for modules where the driver was started."""
    script = [sys.executable, str(project / "scripts" / "compare.py"), *map(str, arguments)]
    there = environment(PYTHONPATH=str(project))
    return subprocess.run(script, cwd=project, env=there, capture_output=True, text=True, check=False, timeout=900)


def test_the_audit_alone_shows_its_table_and_is_kept(tmp_path: Path) -> None:
    done = run_script("audit", "--quick", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(" yes ") == 15
    assert "Parity audit (quick): all 15 checks hold" in done.stdout
    kept = checks.read(tmp_path)
    assert kept is not None
    assert kept.failed == ()
    assert kept.machines


def test_an_unfair_study_stops_or_goes_on_unpaired_under_another_name(unfair: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped = run_copy(unfair, *SMALL, "--out", out)
    assert stopped.returncode == 1
    assert "first forward (float32). conv1 is the first to differ" in stopped.stderr
    assert "--allow-unmatched" in stopped.stderr
    assert not (out / "runs").exists()

    allowed = run_copy(unfair, *SMALL, "--allow-unmatched", "--out", out)
    assert allowed.returncode == 0, allowed.stderr
    assert "[not matched]: Test accuracy" in allowed.stdout
    assert "[matched]" not in allowed.stdout
    assert not pd.read_csv(out / "tables" / "comparisons.csv")["paired"].any()
    assert "<small>not matched</small>" in (out / "report.html").read_text()
