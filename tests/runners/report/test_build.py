import json
import os
import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from runners.core.errors import BadInput
from runners.core.study import run_specs
from runners.parity import checks, divergence
from runners.parity.divergence import Divergence, Line
from runners.report.build import assemble, build
from runners.report.output.html import render
from runners.report.output.json import to_json
from runners.report.output.terminal import show
from runners.report.plots import OURS
from tests.runners.report.conftest import an_audit

ROOT = Path(__file__).parents[3]
NAMES = ("runs", "epochs", "summary", "comparisons", "agreement", "defaults", "variance", "wrong_winner")
FAILED = {"status": "failed", "error": "it broke"}
LINE = Line(a="keras", b="torch", framework=None, precision="float32", distances=(1e-8, 0.1))
PARTING = Divergence(steps=(1, 469), lines=(LINE,))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shown(report, width=120):
    console = Console(file=StringIO(), width=width, soft_wrap=True)
    show(report, console)
    return console.file.getvalue()


def test_a_report_is_all_the_promised_files(everything):
    files = {str(path) for path in contents(everything.folder)}
    assert set(everything.folder.glob("tables/*.csv")) == {everything.folder / f"tables/{n}.csv" for n in NAMES}
    tables = {f"tables/{n}.{e}" for n in NAMES for e in ("csv", "parquet")}
    assert tables | {"report.html", "study.json", "report.md"} <= files


def test_a_second_report_of_the_same_records_is_the_same_to_the_byte(everything):
    before = contents(everything.folder)
    again = build(everything.folder)
    assert again.notices == everything.notices
    assert contents(everything.folder) == before


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"holds no study\.json; name the --out folder of scripts/compare\.py"):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_records_that_are_skipped_or_missing_are_told(everything):
    path = everything.folder / "runs" / "torch-native-seed4.json"
    start = f"1 file(s) skipped that hold no record of this study ({path}: damaged, or no record: "
    assert everything.notices[0].startswith(start)
    assert everything.notices[1].startswith("1 run(s) of the plan have no record yet (torch-native-seed4)")
    assert [item.path for item in everything.inputs.unreadable] == [path]
    left_out = "1 of 5 seeds (3) are not in all pairs, for want of torch-matched-seed3: failed. "
    assert sum(notice.startswith(left_out) for notice in everything.notices) == 1


def test_a_failed_audit_leaves_no_seed_out_of_pairs_that_there_are_not(study_folder):
    folder = study_folder(changed={"keras-matched-seed0": FAILED})
    assert any("not in all pairs" in notice for notice in assemble(folder).notices)
    checks.write(folder, an_audit(fails=True))
    assert not any("not in all pairs" in notice for notice in assemble(folder).notices)


def test_contenders_and_tracks_stand_in_the_order_in_which_they_were_named(everything):
    plan = everything.inputs.study.plan
    assert plan.contenders[0] != run_specs(plan)[0].contender  # the runs went in another
    named = [("keras", "matched"), ("keras", "native"), ("torch", "matched"), ("torch", "native")]
    summary = everything.tables["summary"]
    assert list(zip(summary["contender"], summary["track"], strict=True)) == named


def test_what_ended_otherwise_than_completed_is_unsuccessful(everything):
    ended = {record.run_id: record.status for record in everything.unsuccessful}
    assert ended == {"torch-matched-seed3": "failed", "keras-native-seed1": "diverged", "torch-native-seed2": "oom"}


def test_a_plot_of_an_earlier_report_does_not_outlive_its_runs(study_folder):
    folder = study_folder(seeds=[0], changed={f"{name}-matched-seed0": FAILED for name in ("keras", "torch")})
    (folder / "plots").mkdir()
    (folder / "plots" / "test_accuracy.png").write_bytes(b"of a run since done again")
    report = build(folder)
    assert report.plots == ()
    assert list((folder / "plots").iterdir()) == []
    assert "No run has completed." in report.page.read_text()


def test_only_plots_of_ours_are_deleted_and_none_through_a_link(study_folder, tmp_path):
    folder = study_folder(seeds=[0], changed={f"{name}-matched-seed0": FAILED for name in ("keras", "torch")})
    plots, elsewhere = folder / "plots", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "test_loss.svg").write_text("the user's")
    plots.mkdir()
    for name in ("thesis.png", "data.csv", "variance_of_mine.png", "test_accuracy.pdf"):
        (plots / name).write_text("the user's")
    (plots / "test_loss.svg").symlink_to(elsewhere / "test_loss.svg")
    (plots / "split_clock.png").write_text("ours")
    build(folder)
    kept = {"thesis.png", "data.csv", "variance_of_mine.png", "test_accuracy.pdf", "test_loss.svg"}
    assert {path.name for path in plots.iterdir()} == kept
    linked = study_folder(seeds=[1], changed={f"{name}-matched-seed1": FAILED for name in ("keras", "torch")})
    shutil.rmtree(linked / "plots", ignore_errors=True)
    (linked / "plots").symlink_to(elsewhere)
    build(linked)
    assert (elsewhere / "test_loss.svg").read_text() == "the user's"


def test_all_that_is_drawn_is_known_as_ours(everything, study_folder):
    folder = study_folder(("keras", "torch", "keras:mirrored:2", "torch:ddp:2"), [0], scaling="weak")
    divergence.write(folder, PARTING)
    of_batches = {plot.name for plot in assemble(folder).plots}
    assert {"scaling", "pairs_train_seconds_2", "divergence"} <= of_batches
    drawn = of_batches | {plot.name for plot in everything.plots}
    assert [f"{n}.{e}" for n in drawn for e in ("png", "svg", "csv") if not OURS.fullmatch(f"{n}.{e}")] == []


@pytest.mark.parametrize(
    "content", [b"", b'{"rows": 3}', b"[" * 100_000 + b"\xff"], ids=["empty", "foreign", "hostile"]
)
def test_damaged_files_beside_the_records_cost_no_more_than_what_they_tell(study_folder, content):
    folder = study_folder(seeds=[0])
    for name in ("audit", "divergence", "pilot"):
        (folder / f"{name}.json").write_bytes(content)
    report = assemble(folder)
    assert (report.inputs.audit, report.inputs.divergence, len(report.inputs.records)) == (None, None, 2)
    for name in ("audit", "divergence", "pilot"):
        (told,) = [notice for notice in report.notices if f"{name}.json" in notice]
        start = f"Left out of this report: {folder / name}.json is no {name} of this version: "
        assert re.fullmatch(rf"{re.escape(start)}.+; delete it.+\.", told)
    assert "has no parity audit" in " ".join(report.notices)


def test_a_damaged_study_still_has_no_report(study_folder):
    folder = study_folder(seeds=[0])
    (folder / "study.json").write_text("{}")
    with pytest.raises(BadInput, match=r"study\.json is no study of this version: plan: Field required; use another"):
        assemble(folder)


def test_a_file_whose_name_is_no_text_is_named_and_skipped(study_folder, capsys):
    folder = study_folder(("torch",), [0], changed={"torch-matched-seed0": FAILED})
    (folder / "runs" / os.fsdecode(b"\xff\x1b.json")).write_text("{}")
    report = build(folder)
    assert len(report.inputs.records) == 1
    (path,) = (item.path for item in report.inputs.unreadable)
    assert path.name == r"\udcff\x1b.json"
    assert f"{path}: damaged, or no record" in report.notices[0]
    print(path)
    assert len(capsys.readouterr().out.encode()) > 1
    assert r"\udcff\x1b.json" in shown(report)
    assert json.loads(to_json(report))["runs"]["unreadable"] == 1


def test_a_record_of_other_code_is_named_and_skipped(study_folder):
    folder = study_folder()
    path = folder / "runs" / "torch-matched-seed0.json"
    record = json.loads(path.read_text())
    record["environment"]["code_sha256"] = "e" * 64
    path.write_text(json.dumps(record))
    report = assemble(folder)
    assert [item.path for item in report.inputs.unreadable] == [path]
    assert any(f"done by other code (eeeeeeeeeeee) than the study's ({'c' * 12})" in told for told in report.notices)


ON_A_FULL_DISK = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("largest", "unwritten"),
    [(1_000, "tables/summary.csv"), pytest.param(30_000, "plots/", marks=pytest.mark.thorough)],
)
def test_a_report_that_cannot_be_written_is_one_sentence_and_leaves_what_was_there(study_folder, largest, unwritten):
    folder = study_folder(seeds=range(3))
    build(folder)
    before = contents(folder)
    (folder / "runs" / "torch-matched-seed2.json").unlink()
    command = [sys.executable, "-c", ON_A_FULL_DISK, str(largest), str(ROOT / "scripts" / "report.py"), str(folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {folder}/{unwritten}")
    assert " could not be written: File too large; what was there before is intact, mend that" in ran.stderr
    assert ran.stderr.count("\n") == 1
    after = {path: content for path, content in contents(folder).items() if path.name != ".lock"}
    assert after.keys() == {path for path in before if path.name != "torch-matched-seed2.json"}
    untouched = [path for path in before if str(path).startswith((unwritten, "report."))]
    assert len(untouched) > 2
    assert all(len(after[path]) <= largest or after[path] == before[path] for path in untouched)


@pytest.mark.parametrize("absent", [{"epochs": []}, {"clock": None}])
def test_a_completed_run_without_its_numbers_does_not_cost_the_report(study_folder, absent):
    folder = study_folder(seeds=[0])
    path = folder / "runs" / "torch-matched-seed0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **absent}))
    assert build(folder).page.exists()


def test_lost_predictions_cost_no_more_than_their_agreement(study_folder):
    folder = study_folder(seeds=[0, 1])
    (folder / "predictions" / "keras-matched-seed0.npy").unlink()
    (folder / "predictions" / "torch-matched-seed0.npy").write_bytes(b"cut off")
    report = assemble(folder)
    assert len(report.tables["agreement"]) == 1  # of the two runs of seed 1
    (notice,) = [notice for notice in report.notices if "without predictions" in notice]
    assert notice.startswith("2 completed run(s) without predictions (keras-matched-seed0.npy: missing; torch-matched-")
    shutil.rmtree(folder / "predictions")
    without = assemble(folder)
    assert len(without.tables["agreement"]) == 0
    assert "No two runs to compare." in render(without, pictures=False)


def test_predictions_of_runs_that_did_not_complete_are_not_missed(study_folder):
    folder = study_folder(seeds=[0], changed={"keras-matched-seed0": FAILED, "torch-matched-seed0": {"status": "oom"}})
    shutil.rmtree(folder / "predictions")
    assert not any("predictions" in notice for notice in assemble(folder).notices)


def test_predictions_of_runs_that_did_not_complete_count_for_nothing(everything):
    lost = everything.folder / "predictions" / "torch-matched-seed3.npy"
    assert lost.exists()
    assert lost.stem not in everything.inputs.predictions
    agreement = everything.tables["agreement"].set_index(["track", "a", "b"])["n"]
    assert agreement["matched", "keras", "torch"] == 4


def test_wild_numbers_cost_no_report(study_folder):
    report = build(study_folder(seeds=range(2), changed={"torch-matched-seed0": {"train_seconds": 1e-60}}))
    rows = report.comparisons.set_index("metric")
    assert rows.loc["train_seconds", ["ci95_low", "ci95_high"]].tolist() == [0, float("inf")]


def test_diverged_runs_are_drawn_nowhere(study_folder):
    assert build(study_folder(("keras",), [0], changed={"keras-matched-seed0": {"status": "diverged"}})).plots == ()


def test_a_study_begun_a_moment_ago_has_a_report(study_folder):
    folder = study_folder(left_out=[f"{name}-matched-seed{seed}" for name in ("keras", "torch") for seed in range(5)])
    report = build(folder)
    (notice,) = report.notices
    assert notice.startswith("10 run(s) of the plan have no record yet (")
    assert "no verdict with 0 seeds" in shown(report)


def test_one_contender_alone_is_compared_with_nothing(study_folder):
    report = assemble(study_folder(("keras",), [0], changed={"keras-matched-seed0": FAILED}))
    assert len(report.comparisons) == 0
    assert "One contender alone: nothing is compared." in render(report, pictures=False)
    assert len(report.tables["defaults"]) == 0


def test_without_copies_there_is_no_control(everything):
    assert everything.control == ()
    assert "A/A control" not in everything.page.read_text() + shown(everything)


def test_a_report_loads_no_framework_and_no_ray(study_folder):
    folder = study_folder(seeds=[0])
    code = (
        "import sys; from pathlib import Path; from runners.report.build import build; "
        "from runners.report.output import terminal; print(len(build(Path(sys.argv[1])).plots)); "
        "print(*{'keras', 'tensorflow', 'torch', 'jax', 'ray'} & set(sys.modules))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("12\n\n", "", 0)
