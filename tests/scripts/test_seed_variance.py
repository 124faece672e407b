"""One framework against itself, small but real, over seeds and with nothing varied; and what is told of both."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from runners.core import store
from tests.helpers.processes import run_here, run_script

pytestmark = pytest.mark.thorough

TINY = ("--limit-train", 640, "--epochs", 1)


@pytest.fixture(scope="module")
def made(ray_here: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of PyTorch twice on two seeds for each source of variance, and what is told of all."""
    folder = tmp_path_factory.mktemp("made")
    command = ("--run", "torch,torch", *TINY, "--seeds", 2, "--address", ray_here, "--out", folder)
    done = run_script("seed_variance", *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Parity audit (quick): all") == 1
    return folder


@pytest.fixture(scope="module")
def studies(made: Path) -> tuple[Path, Path]:
    """Those varied in weights and order, and in nothing."""
    return made / "all", made / "nothing"


def runs_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / "runs.csv").set_index("run_id")


def test_a_framework_against_itself_is_a_study_of_two_contenders_that_draw_the_same(studies: tuple[Path, Path]) -> None:
    runs = runs_of(studies[0])
    assert dict(runs["contender"]) == {
        "torch-matched-seed0": "torch",
        "torch-matched-seed1": "torch",
        "torch-copy2-matched-seed0": "torch#2",
        "torch-copy2-matched-seed1": "torch#2",
    }
    drawn = ["init_sha256", "order_sha256", "test_loss"]
    for seed, pair in runs.groupby("seed"):
        assert pair[drawn].drop_duplicates().shape[0] == 1, seed
    assert runs["init_sha256"].nunique() == runs["order_sha256"].nunique() == 2


def test_where_nothing_varied_all_runs_draw_the_same(studies: tuple[Path, Path]) -> None:
    runs = runs_of(studies[1])
    assert len(runs) == 4
    assert runs["init_sha256"].nunique() == runs["order_sha256"].nunique() == 1


def test_the_control_and_what_was_held_fixed_are_told_on_the_screen(studies: tuple[Path, Path]) -> None:
    over_seeds, of_nothing = (run_here("report", folder).stdout for folder in studies)
    opening = (
        "[A/A control] torch and torch#2 are the same framework (matched): whatever differs between them is chance"
    )
    assert opening in over_seeds
    assert opening in of_nothing
    fixed = "note: Every run had the initial weights and batch order of seed 0, and differed in nothing"
    assert fixed in of_nothing
    assert fixed not in over_seeds


def test_predict_takes_the_better_copy(studies: tuple[Path, Path], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "x.png")
    done = run_script("predict", tmp_path / "x.png", "--from", studies[0])
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    runs = runs_of(studies[0])
    assert line.startswith("PyTorch ")
    assert line.rpartition("(")[2].removesuffix(")") in runs.index[runs["test_loss"] == runs["test_loss"].min()]


def test_folders_are_put_side_by_side_and_written_into_the_first(studies: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = shutil.copytree(studies[1], tmp_path / "a"), studies[0]
    done = run_here("seed_variance", first, second)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("weights and order", "nothing (what remains", "torch#2, matched", "exactly 0"):
        assert words in done.stdout
    assert "note: An SD of exactly 0 is no rounding" in done.stdout
    assert done.stdout.splitlines()[-1] == str(first / "tables" / "variance.csv")
    table = pd.read_csv(first / "tables" / "variance.csv")
    pd.testing.assert_frame_equal(table, pd.read_parquet(first / "tables" / "variance.parquet"), check_dtype=False)
    assert list(table["vary"]) == ["all"] * 4 + ["nothing"] * 4
    assert (table.query("vary == 'all'")["sd"] > 0).all()
    assert (table.query("vary == 'nothing'")["sd"] == 0).all()
    assert set(pd.read_csv(second / "tables" / "variance.csv")["vary"]) == {"all"}
    of_accuracy = table[table["metric"] == "test_accuracy"]
    assert (of_accuracy["images"] == 10_000).all()
    assert (
        of_accuracy.query("vary == 'nothing'")[["half_width", "distribution_variance", "distribution_sd"]] == 0
    ).all(axis=None)
    drawn = pd.read_csv(first / "plots" / "variance.csv")
    in_percent = table["metric"].str.contains("acc")
    assert drawn["sd"].tolist() == pytest.approx((table["sd"] * np.where(in_percent, 100, 1)).tolist())
    for name in ("variance", "variance_half_width"):
        assert f"{first / 'plots' / name}.png" in done.stdout.splitlines()
        assert (first / "plots" / f"{name}.svg").exists()


def test_copies_that_draw_the_same_have_no_wrong_winner(studies: tuple[Path, Path], tmp_path: Path) -> None:
    done = run_here("seed_variance", *studies, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrong winner" not in done.stdout
    rows = pd.read_csv(tmp_path / "tables" / "wrong_winner.csv")
    assert list(rows[["vary", "better", "worse", "n_better"]].itertuples(index=False, name=None)) == [
        *(("all", "torch", "torch#2", 2), ("nothing", "torch", "torch#2", 2))
    ]
    assert rows["wrong_winner"].isna().all()


def test_a_folder_without_labels_takes_them_from_the_data(studies: tuple[Path, Path], tmp_path: Path) -> None:
    without = shutil.copytree(studies[0], tmp_path / "without")
    (without / "predictions" / "labels.npy").unlink()
    done = run_here("seed_variance", without)
    assert (done.returncode, done.stderr) == (0, "")
    assert "which images are tested is worth" in done.stdout
    one, other = (pd.read_csv(folder / "tables" / "variance.csv") for folder in (studies[0], without))
    pd.testing.assert_frame_equal(one, other)
    (tmp_path / "empty").mkdir()
    lost = run_here("seed_variance", without, "--data-dir", tmp_path / "empty")
    assert (lost.returncode, lost.stderr) == (0, "")
    assert "note: without labels, the share of the choice of test images is unknown" in lost.stdout
    assert pd.read_csv(without / "tables" / "variance.csv")["images"].isna().all()


def test_the_table_goes_where_it_is_told(studies: tuple[Path, Path], tmp_path: Path) -> None:
    before = (studies[0] / "tables" / "variance.csv").read_bytes()
    done = run_here("seed_variance", *studies, "--out", tmp_path / "there")
    assert (done.returncode, done.stderr) == (0, "")
    tables = {f"{name}.{ending}" for name in ("variance", "wrong_winner") for ending in ("csv", "parquet")}
    assert {path.name for path in (tmp_path / "there" / "tables").iterdir()} == tables
    assert (studies[0] / "tables" / "variance.csv").read_bytes() == before


def test_folders_that_do_not_go_together_are_refused(studies: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(studies[1], tmp_path / "other")
    study = store.existing_study(other)
    store.write_study(other, study.model_copy(update={"plan": study.plan.model_copy(update={"epochs": 2})}))
    done = run_here("seed_variance", studies[0], other)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"epochs is 1 in {studies[0]} and 2 in {other}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_study_of_every_source_is_made_and_told_of(made: Path) -> None:
    sources = ["all", "init", "order", "nothing"]
    table = pd.read_csv(made / "tables" / "variance.csv")
    assert list(table["vary"]) == [name for name in sources for _ in range(4)]
    for name in sources:
        assert store.existing_study(made / name).plan.vary == name
        assert (made / name / "report.html").exists()
    drawn = {name: runs_of(made / name)[["init_sha256", "order_sha256"]].nunique() for name in sources}
    assert {name: tuple(counts) for name, counts in drawn.items()} == {
        "all": (2, 2),
        "init": (2, 1),
        "order": (1, 2),
        "nothing": (1, 1),
    }


def test_a_pilot_is_topped_up_once_to_the_precision_that_is_asked_for(ray_here: str, tmp_path: Path) -> None:
    tiny = (*TINY, "--seeds", 5, "--address", ray_here)
    assert run_script("compare", "torch", *tiny, "--out", tmp_path).returncode == 0
    accuracies = runs_of(tmp_path)["test_accuracy"]
    wanted = stats.t.ppf(0.975, 4) * accuracies.std() / np.sqrt(6.5)  # 7 runs are the first that reach it
    arguments = (tmp_path, "--until-half-width", wanted, "--address", ray_here)
    done = run_script("seed_variance", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The pilot of 5 seeds asks for 7 runs of each contender." in done.stdout
    assert "2 runs to do" in done.stdout
    assert "over 7 runs, 5 of them the pilot" in done.stdout
    assert set(runs_of(tmp_path)["seed"]) == set(range(7))
    row = pd.read_csv(tmp_path / "tables" / "variance.csv").iloc[0]
    assert (row["n"], row["runs_for_wanted"], row["wanted_half_width"]) == (7, 7, pytest.approx(wanted))
    assert row["half_width"] == pytest.approx(stats.t.ppf(0.975, 4) * accuracies.std() / np.sqrt(7))
    assert "asked for" in set(pd.read_csv(tmp_path / "plots" / "variance_half_width.csv")["what"])
    again = run_here("seed_variance", *arguments)
    assert (again.returncode, again.stderr) == (0, "")
    assert "to do" not in again.stdout
    other = run_here("seed_variance", tmp_path, "--until-half-width", wanted / 2, "--address", ray_here)
    assert other.returncode == 2
    assert "would be peeking" in other.stderr
