"""Whatever a user or a node has set for a framework, runs compute the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lenet.data import cache_folder
from runners.core import process
from runners.core.record import RunRecord
from runners.core.spec import RunSpec
from tests.helpers import HELPERS

ONE_PROCESS = HELPERS / "one_process.py"
# Each of these changes what a run computes, or breaks it, where it gets through.
SETTINGS = {
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_BACKEND": "torch",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--no_such_flag",
    "XLA_FLAGS": "--no_such_flag",
    "TF_CONFIG": '{"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": 1}}',
    "OMP_NUM_THREADS": "2",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "TORCH_LOGS": "+all",
}


def done(framework: str, folder: Path, environment: dict[str, str]) -> list[RunRecord]:
    """A matched and a native run, in a process with this environment."""
    folder.mkdir()
    specs = [
        RunSpec(contender=framework, track=track, epochs=2, limit_train=256, checkpoint=False).model_dump_json()
        for track in ("matched", "native")
    ]
    command = [sys.executable, str(ONE_PROCESS), str(folder), "64", *specs]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return [RunRecord.model_validate_json((folder / name / "record.json").read_text()) for name in ("0", "1")]


@pytest.mark.parametrize("framework", [pytest.param("keras", marks=pytest.mark.thorough), "torch"])
def test_a_user_s_settings_of_frameworks_change_no_result(framework: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(json.dumps({"image_data_format": "channels_first", "epsilon": 0.1}))
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(cache_folder().parents[1])}
    plain = done(framework, tmp_path / "plain", dict(os.environ))
    set_by_user = done(framework, tmp_path / "set", {**os.environ, **SETTINGS, **own})
    for one, other in zip(plain, set_by_user, strict=True):
        assert (one.status, other.status) == ("completed", "completed"), other.error
        assert len(other.epochs) == 2
        figures = [[(row.train_loss, row.test_loss, row.test_accuracy) for row in run.epochs] for run in (one, other)]
        assert figures[0] == figures[1]
        assert one.environment is not None
        assert other.environment is not None
        assert one.environment.flags == other.environment.flags


def test_devices_and_networks_stay_and_what_a_run_pins_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"NCCL_SOCKET_IFNAME": "eth0", "NCCL_ALGO": "Tree", "TF_CONFIG": "{}", "XLA_FLAGS": "x", "PATH": "/bin"}
    monkeypatch.setattr(os, "environ", dict(given))
    process.set_environment({"KERAS_BACKEND": "tensorflow"}, kept=("TF_CONFIG",))
    assert os.environ == {
        "NCCL_SOCKET_IFNAME": "eth0",
        "TF_CONFIG": "{}",
        "PATH": "/bin",
        "KERAS_BACKEND": "tensorflow",
    }
    assert process.settings_left() == {"NCCL_SOCKET_IFNAME": "eth0"}


def test_what_is_started_inherits_none_of_them_and_they_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"XLA_FLAGS": "x", "PATH": "/bin"})
    with process.without_own_settings():
        assert os.environ == {"PATH": "/bin"}
    assert os.environ == {"XLA_FLAGS": "x", "PATH": "/bin"}
