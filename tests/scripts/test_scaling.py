"""One real weak-scaling study through Ray: a replica and two, small, looked at from all sides."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runners.parity import checks
from tests.helpers.processes import run_here, run_script

# Seven steps an epoch for one replica, four for two.
STUDY = ("torch", "torch:ddp:2", "--scaling", "weak", "--lr-rule", "linear", "--limit-train", 832, "--epochs", 2)


@pytest.fixture(scope="module")
def study(ray_here: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weak") / "results"
    done = run_script("compare", *STUDY, "--seeds", 1, "--address", ray_here, "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder.parent / "stdout").write_text(done.stdout)
    return folder


def test_the_records_say_what_was_in_force(study: Path) -> None:
    records = [json.loads(path.read_text()) for path in (study / "runs").glob("*.json")]
    seen = {r["spec"]["contender"]: (r["spec"]["batch_size"], r["epochs"][-1]["learning_rate"]) for r in records}
    assert seen == {"torch": (128, pytest.approx(0.001)), "torch:ddp:2": (256, pytest.approx(0.002))}
    assert len({r["init_sha256"] for r in records}) == len({r["order_sha256"] for r in records}) == 1
    (together,) = [record for record in records if record["spec"]["contender"] == "torch:ddp:2"]
    assert together["nodes"] == [together["node"]] * 2
    assert together["environment"]["flags"]["process_group"] == "gloo"
    assert np.load(study / "predictions" / f"{together['run_id']}.npy").shape == (10_000,)


def test_replicas_that_really_exchange_gradients_tell_how_long_they_waited(study: Path) -> None:
    shares = pd.read_csv(study / "tables" / "runs.csv").set_index("contender")["communication_share"]
    assert pd.isna(shares["torch"])
    assert 0 < shares["torch:ddp:2"] < 1


def test_the_scaling_table_is_there_and_on_screen(study: Path) -> None:
    rows = pd.read_csv(study / "tables" / "scaling.csv").set_index("contender")
    row = rows.loc["torch:ddp:2"].to_dict()
    assert {"scaling": "weak", "lr_rule": "linear", "replicas": 2, "baseline": "torch"}.items() <= row.items()
    assert row["efficiency"] == pytest.approx(row["speedup"] / 2)
    assert "speed-up" in (study.parent / "stdout").read_text()
    assert (study / "plots" / "scaling.csv").exists()


def test_the_audit_holds_both_to_batches_of_one_size(study: Path) -> None:
    done = checks.read(study)
    assert done is not None
    assert {(row.a, row.b) for row in done.rows} == {("torch", "torch:ddp:2")}
    assert (done.failed, done.conditions["batch_size"]) == ((), 128)


def test_another_scaling_is_another_study(study: Path) -> None:
    strong = (*STUDY[:2], *STUDY[6:])
    done = run_here("compare", *strong, "--device", "cpu", "--seeds", 1, "--address", "local", "--out", study)
    assert done.returncode == 2
    assert "lr_rule was linear, now none; scaling was weak, now strong; use another --out" in done.stderr
