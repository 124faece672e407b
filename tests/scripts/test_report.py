"""scripts/report.py on made-up records: what goes to which stream, and the exit code."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.processes import run_here
from tests.runners.report.conftest import make_stub_study


@pytest.mark.parametrize(("gap", "differs"), [(0.02, True), (0.0, False)])
def test_verdicts_as_json_and_as_an_exit_code(tmp_path: Path, gap: float, differs: bool) -> None:
    accuracies = {"keras": 0.88 + gap, "torch": 0.88}
    changed = {
        f"{name}-matched-seed{seed}": {"test_accuracy": accuracy + 0.0001 * seed * (name == "keras")}
        for name, accuracy in accuracies.items()
        for seed in range(5)
    }
    folder = make_stub_study(tmp_path, changed=changed)
    asked = run_here("report", folder, "--json", "--fail-if-different")
    assert asked.returncode == int(differs)
    document = json.loads(asked.stdout)  # nothing else is there
    assert document["differs"] is differs
    assert document["comparisons"][0]["short"] in asked.stderr
    assert str(folder / "report.html") in asked.stderr.replace("\n", "")


def test_without_json_the_verdicts_are_on_standard_output(tmp_path: Path) -> None:
    folder = make_stub_study(tmp_path)
    told = run_here("report", folder)
    assert (told.returncode, told.stderr) == (0, "")
    assert pd.read_csv(folder / "tables" / "comparisons.csv")["short"][0] in told.stdout


def test_files_that_are_no_records_are_named_counted_skipped_and_left(tmp_path: Path) -> None:
    folder = make_stub_study(tmp_path, seeds=range(5))
    cut, foreign = folder / "runs" / "torch-matched-seed1.json", folder / "runs" / "package.json"
    cut.write_bytes(cut.read_bytes()[:200])
    foreign.write_text('{"name": "x"}')
    before = {path: path.read_bytes() for path in (cut, foreign)}
    done = run_here("report", folder)
    said = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 file(s) skipped that hold no record of this study" in said
    assert "package.json: damaged" in said
    assert "torch-matched-seed1.json: damaged" in said
    assert "2 file(s) skipped" in (folder / "report.html").read_text()
    assert {path: path.read_bytes() for path in before} == before


def test_without_a_study_no_document_is_printed(tmp_path: Path) -> None:
    done = run_here("report", tmp_path, "--json", "--fail-if-different")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
