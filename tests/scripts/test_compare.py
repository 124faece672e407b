"""Whole studies, small but real: real data, frameworks and Ray, real signals."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lenet.data import SHA256, cache_folder, load
from lenet.network import CLASS_NAMES
from runners.parity import checks
from tests.helpers.processes import (
    TOKEN,
    finish,
    read_until,
    run_here,
    run_script,
    start_script,
    wait_until_gone,
    workers_of,
)
from tests.helpers.rays import wait_for

SIZE = ("--limit-train", 1280, "--epochs", 2)
SMALL = (*SIZE, "--address", "local")
# Long enough to be interrupted.
LONG = ("--address", "local", "--limit-train", 6400, "--epochs", 4, "--seeds", 4)
TABLES = ("runs", "epochs", "summary", "comparisons", "agreement", "defaults", "variance", "wrong_winner")
NOT_REPRODUCIBLE = "seconds|per_second|attempts"


@pytest.fixture(scope="module")
def small(ray_here: str) -> tuple[object, ...]:
    """A small study where it need not start a Ray."""
    return (*SIZE, "--address", ray_here)


@pytest.fixture(scope="module")
def study(small: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of both frameworks, done once for the tests that only look."""
    folder = tmp_path_factory.mktemp("study") / "results"
    done = run_script("compare", *small, "--seeds", 2, "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder.parent / "stdout").write_text(done.stdout)
    (folder.parent / "stderr").write_text(done.stderr)
    return folder


def audited(study: Path, *folders: Path) -> None:
    """Give other folders the study's parity audit, which holds for them too, so that they do not each do their own."""
    for folder in folders:
        folder.mkdir(exist_ok=True)
        shutil.copy(study / checks.FILE, folder)


def runs_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / "runs.csv").set_index("run_id")


def reproducible(folder: Path) -> pd.DataFrame:
    runs = runs_of(folder)
    return runs.drop(columns=runs.filter(regex=NOT_REPRODUCIBLE).columns)


def test_the_folder_holds_what_it_promises(study: Path) -> None:
    run_ids = {f"{name}-matched-seed{seed}" for name in ("keras", "torch") for seed in (0, 1)}
    assert {path.stem for path in (study / "runs").glob("*.json")} == run_ids
    tables = {f"{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")}
    assert {path.name for path in (study / "tables").iterdir()} == tables
    assert {path.suffix for path in (study / "plots").iterdir()} == {".png", ".svg", ".csv"}
    assert (study / "report.html").stat().st_size < 5_000_000
    audit = checks.read(study)
    assert audit is not None
    assert audit.failed == ()
    for run_id in run_ids:
        predictions = np.load(study / "predictions" / f"{run_id}.npy", allow_pickle=False)
        assert (predictions.dtype, predictions.shape) == (np.uint8, (10_000,))
        accuracy = (predictions == np.load(study / "predictions" / "labels.npy")).mean()
        assert accuracy == pytest.approx(runs_of(study).loc[run_id, "test_accuracy"], abs=1e-6)
        weights = "best_model.weights.h5" if run_id.startswith("keras") else "best_model.pt"
        assert (study / "checkpoints" / run_id / weights).stat().st_size > 44_426 * 4


def test_matched_runs_of_a_seed_share_weights_and_order_and_end_alike(study: Path) -> None:
    runs = runs_of(study)
    for seed in (0, 1):
        keras, torch = runs.loc[f"keras-matched-seed{seed}"], runs.loc[f"torch-matched-seed{seed}"]
        assert keras["init_sha256"] == torch["init_sha256"]
        assert keras["order_sha256"] == torch["order_sha256"]
        assert keras["test_loss"] == pytest.approx(torch["test_loss"], rel=1e-3)
    assert runs["init_sha256"].nunique() == runs["order_sha256"].nunique() == 2


def test_the_clock_s_stages_add_up_and_the_environment_is_recorded(study: Path) -> None:
    for path in (study / "runs").glob("*.json"):
        record = json.loads(path.read_text())
        clock = {name: value for name, value in record["clock"].items() if name != "train_cpu_seconds"}
        assert sum(clock.values()) == pytest.approx(2 * clock["total_seconds"])
        assert all(clock[f"{stage}_seconds"] > 0 for stage in ("import", "data", "build", "compile", "train", "eval"))
        seen = record["environment"]
        assert seen["flags"]["intra_op_threads"] == 1
        assert seen["flags"]["tf32"] is False
        assert seen["versions"].keys() >= {"python", "numpy"}
        assert seen["cpu_model"]
        assert seen["data_sha256"] == load().sha256


def test_a_pipe_gets_one_plain_line_an_epoch_and_no_framework_noise(study: Path) -> None:
    said, complained = ((study.parent / name).read_text() for name in ("stdout", "stderr"))
    assert sum("  epoch " in line for line in said.splitlines()) == 8
    assert complained == ""
    assert not [noise for noise in ("raylet", "oneDNN", "WARNING", "\x1b") if noise in said]
    assert "[matched]: Test accuracy: descriptive only, no verdict with 2 seeds (5 are needed)." in said
    assert "Parity audit (quick): all 15 checks hold" in said
    assert said.splitlines()[-1].endswith("report.html")


def test_the_same_command_again_does_nothing_and_leaves_the_tables(study: Path) -> None:
    before = (study / "tables" / "runs.csv").read_bytes()
    done = run_here("compare", *SMALL, "--seeds", 2, "--out", study)
    assert done.returncode == 0
    assert "  epoch " not in done.stdout
    assert "Parity audit" not in done.stdout
    assert (study / "tables" / "runs.csv").read_bytes() == before


def test_another_plan_in_the_folder_is_refused_with_the_difference(study: Path) -> None:
    done = run_here("compare", "--address", "local", "--limit-train", 1280, "--epochs", 3, "--out", study)
    assert (done.returncode, done.stdout) == (2, "")
    assert "epochs was 2, now 3" in done.stderr


def test_report_rebuilds_everything_from_the_records_alone(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    for made in ("tables", "plots"):
        shutil.rmtree(copy / made)
    (copy / "report.html").unlink()
    done = run_here("report", copy)
    assert done.returncode == 0, done.stderr
    for table in TABLES:
        assert (copy / "tables" / f"{table}.csv").read_bytes() == (study / "tables" / f"{table}.csv").read_bytes()
    assert (copy / "report.html").exists()


@pytest.mark.thorough
def test_a_truncated_record_is_named_skipped_and_done_anew(
    study: Path, small: tuple[object, ...], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    record = copy / "runs" / "torch-matched-seed1.json"
    record.write_bytes(record.read_bytes()[:200])
    again = run_script("compare", *small, "--seeds", 2, "--out", copy)
    assert again.returncode == 0
    assert f"{record} is skipped" in again.stdout
    assert "1 run to do" in again.stdout
    pd.testing.assert_frame_equal(reproducible(copy), reproducible(study))


def test_predict_shows_both_frameworks_top_classes_of_a_picture(study: Path, tmp_path: Path) -> None:
    data = load()
    trouser = data.test_images[int(np.flatnonzero(data.test_labels == CLASS_NAMES.index("Trouser"))[0])]
    picture = Image.fromarray(255 - trouser).resize((280, 280)).convert("RGB")
    picture.save(tmp_path / "trouser.jpg")
    done = run_script("predict", tmp_path / "trouser.jpg", "--from", study)
    assert (done.returncode, done.stderr) == (0, "")
    keras, torch = done.stdout.splitlines()
    assert keras.split()[:2] == ["Keras", "Trouser"]
    assert torch.split()[:2] == ["PyTorch", "Trouser"]
    assert keras.count("%") == torch.count("%") == 3


def test_an_interrupted_study_goes_on_with_more_seeds_to_the_same_tables(
    study: Path, small: tuple[object, ...], tmp_path: Path
) -> None:
    audited(study, tmp_path)
    interrupted = start_script("compare", *SMALL, "--seeds", 1, "--out", tmp_path)
    said = read_until(interrupted, "torch-matched-seed0  epoch 2/2")  # Keras takes longer
    wait_for(lambda: list((tmp_path / "runs").glob("*.json")))
    trainees = workers_of(interrupted)
    interrupted.send_signal(signal.SIGINT)
    said += finish(interrupted)
    assert interrupted.returncode == 130
    assert "the same command continues from there" in said
    assert "Traceback" not in said
    assert trainees
    assert wait_until_gone(trainees) == []
    assert [path.stem for path in (tmp_path / "runs").glob("*.json")] == ["torch-matched-seed0"]
    again = run_script("compare", *small, "--seeds", 2, "--out", tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "3 runs to do" in again.stdout
    pd.testing.assert_frame_equal(reproducible(tmp_path), reproducible(study))


@pytest.mark.thorough
def test_a_killed_driver_leaves_no_orphan_and_its_folder_can_be_taken_over(study: Path, tmp_path: Path) -> None:
    audited(study, tmp_path)
    driver = start_script("compare", *LONG, "--out", tmp_path)
    read_until(driver, "epoch 2/4")
    second = run_here("compare", *LONG, "--out", tmp_path)
    assert second.returncode == 2
    assert f"is in use by process {driver.pid} on {os.uname().nodename} since" in second.stderr
    wait_for(lambda: list((tmp_path / "runs").glob("*.json")) and workers_of(driver))
    trainees = workers_of(driver)
    driver.kill()
    finish(driver)
    assert wait_until_gone(trainees) == []
    kept = {path: path.read_bytes() for path in (tmp_path / "runs").glob("*.json")}
    again = start_script("compare", *LONG, "--out", tmp_path)
    said = read_until(again, " to do, ")
    assert f"{8 - len(kept)} run" in said
    again.send_signal(signal.SIGTERM)
    assert f"over from process {driver.pid}" in said
    finish(again)
    assert again.returncode == 130
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.thorough
def test_a_run_that_keeps_dying_fails_one_that_dies_once_completes_and_the_study_exits_1(tmp_path: Path) -> None:
    one_at_a_time = ("--threads", 2, "--limit-train", 12_800, "--epochs", 4, "--seeds", 2)
    driver = start_script("compare", "torch", "--address", "local", *one_at_a_time, "--out", tmp_path)
    said, kills = "", {"torch-matched-seed0": 3, "torch-matched-seed1": 1}
    while sum(kills.values()):
        said += read_until(driver, "  epoch 1/4")
        run_id = said.splitlines()[-1].split()[0]
        if kills[run_id]:
            (victim,) = workers_of(driver, run_id)
            victim.kill()
            kills[run_id] -= 1
    said += finish(driver)
    assert driver.returncode == 1
    runs = runs_of(tmp_path)[["status", "attempts", "epochs"]]
    assert runs.to_numpy().tolist() == [["failed", 3, 0], ["completed", 2, 4]]
    assert "torch-matched-seed1  its process died; the run starts again, attempt 2" in said
    assert "died" in json.loads((tmp_path / "runs/torch-matched-seed0.json").read_text())["error"]


def test_the_token_of_the_cluster_is_in_no_output_and_no_file(study: Path) -> None:
    kept = [path for path in study.parent.rglob("*") if path.is_file()]
    assert {"stdout", "stderr", "study.json"} <= {path.name for path in kept}
    assert not [path for path in kept if TOKEN["RAY_AUTH_TOKEN"].encode() in path.read_bytes()]


@pytest.mark.thorough
def test_a_broken_framework_fails_its_runs_and_no_others_and_can_be_retried(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('this torch is broken on purpose')")
    out = tmp_path / "out"
    arguments = (*SMALL, "--seeds", 1, "--out", out)
    done = run_script("compare", *arguments, "--allow-unmatched", PYTHONPATH=str(broken.parent))
    assert done.returncode == 1
    assert "first process (exact). torch: its process failed: ImportError: this torch is broken" in " ".join(
        done.stdout.split()
    )
    assert "[not matched]: Test accuracy" in done.stdout
    assert runs_of(out)["status"].to_dict() == {"keras-matched-seed0": "completed", "torch-matched-seed0": "failed"}
    assert "Traceback" in done.stdout
    assert "this torch is broken on purpose" in done.stdout
    assert run_here("compare", *arguments).returncode == 1, "a failure stays until it is asked to be retried"
    again = run_script("compare", *arguments, "--retry-failed")
    assert again.returncode == 0, again.stdout
    assert "1 run to do" in again.stdout
    assert "[matched]: Test accuracy" in again.stdout, "the audit was done again, and holds"
    assert runs_of(out).loc[["torch-matched-seed0"], ["status", "attempts"]].to_numpy().tolist() == [["completed", 2]]


def test_damaged_data_is_refused_before_anything_starts(tmp_path: Path) -> None:
    load()
    source = next(f for f in (cache_folder(), Path("/usr/share/datasets/fashion-mnist")) if f.exists())
    for name in SHA256:
        shutil.copy(source / f"{name}.gz", tmp_path)
    victim = tmp_path / "t10k-images-idx3-ubyte.gz"
    victim.write_bytes(victim.read_bytes()[:-1000])
    done = run_here("compare", *SMALL, "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{victim} is truncated or not gzip" in done.stderr


@pytest.mark.parametrize("contender", [pytest.param("keras:mirrored:2", marks=pytest.mark.thorough), "torch"])
def test_one_run_by_hand(contender: str, tmp_path: Path) -> None:
    done = run_script("train", contender, "--seed", 3, "--epochs", 1, "--limit-train", 640, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    name = contender.replace(":", "-")
    assert f"{name}-matched-seed3  epoch 1/1" in done.stdout
    assert (tmp_path / "runs" / f"{name}-matched-seed3.json").exists()
    assert list((tmp_path / "checkpoints" / f"{name}-matched-seed3").iterdir())
