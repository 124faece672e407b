import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import zlib
from importlib import metadata
from pathlib import PurePath

import numpy as np
import psutil
import pytest

from runners.core import environment
from runners.core.record import Environment
from runners.core.runner import Outcome

HASHED = ("lenet/data.py", "runners/core/run.py", "runners/keras/runner.py", "runners/torch/runner.py")
NOT_HASHED = (
    "runners/parity/checks.py",
    "runners/report/page.py",
    "scripts/progress.py",
    "cluster/queue.py",
    "README.md",
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project in place of this one."""
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    for path in (*HASHED, *NOT_HASHED):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a tool of that name first that runs the given shell script."""

    def install(script):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return install


def code_sha256():
    return environment.code_sha256.__wrapped__()  # which is otherwise computed once a process


def git_commit():
    return environment.git_commit.__wrapped__()


def commit(folder, tree=b""):
    """Make a Git checkout with one commit of `tree`, as Git keeps it on disk; returns the commit's name."""

    def keep(kind, content):
        whole = f"{kind} {len(content)}\0".encode() + content
        name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        path = folder / ".git" / "objects" / name[:2] / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.compress(whole))
        return name

    (folder / ".git" / "refs").mkdir(parents=True)
    tree_name = keep("tree", tree and b"100644 a.py\0" + bytes.fromhex(keep("blob", tree)))
    who = "A <a@example.org> 0 +0000"
    name = keep("commit", f"tree {tree_name}\nauthor {who}\ncommitter {who}\n\none\n".encode())
    (folder / ".git" / "HEAD").write_text(f"{name}\n")
    return name


def outcome(**given):
    nothing = {"epochs": (), "predictions": np.zeros(1, np.uint8), "init_sha256": "1", "order_sha256": None, "steps": 0}
    return Outcome(
        **{**nothing, "epoch_orders_sha256": (), "versions": {"torch": "2.13.0"}, "flags": {"tf32": False}, **given}
    )


def test_the_description_is_of_this_machine_and_of_what_the_run_saw(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = environment.describe(outcome(), "d" * 64, load_before=0.25)
    assert (seen.node, seen.os) == (socket.gethostname(), platform.platform())
    assert (seen.cpu_cores, seen.memory_bytes) == (environment.cores(), psutil.virtual_memory().total)
    assert seen.versions == {
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "torch": "2.13.0",
    }
    assert seen.flags == {"tf32": False, "CUDA_VISIBLE_DEVICES": None}
    assert (seen.data_sha256, seen.load_before) == ("d" * 64, 0.25)
    assert (seen.gpu_model, seen.gpu_driver) == (None, None)
    assert Environment.model_validate_json(seen.model_dump_json()) == seen


def test_the_gpus_that_a_run_was_given_are_told(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    seen = environment.describe(outcome(gpu_model="Some GPU"), "d" * 64, 0.0)
    assert seen.flags["CUDA_VISIBLE_DEVICES"] == "3"
    assert seen.gpu_model == "Some GPU"


def test_only_cores_of_the_affinity_mask_count():
    code = "import os; os.sched_setaffinity(0, {0}); from runners.core import environment; print(environment.cores())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "quotas"),
    [
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, [1.5]),
        ("0::/a", {"cpu.max": "50000 100000"}, [0.5]),
        ("0::/../elsewhere", {"cpu.max": "300000 100000"}, [3]),
        (
            "4:cpu,cpuacct:/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "200000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            [2],
        ),
        ("4:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, []),
        ("3:memory:/a", {"memory/a/cpu.max": "1 1"}, []),
    ],
)
def test_the_quotas_of_all_cgroups_around_a_process_count(tmp_path, cgroup, files, quotas):
    (tmp_path / "cgroup").write_text(f"{cgroup}\n")
    for name, content in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    assert list(environment._cgroup_quotas(tmp_path / "cgroup", tmp_path / "mount")) == quotas


def test_a_quota_takes_whole_cores_but_always_one(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, cores in ((2.5, 2), (0.5, 1), (64, 8)):
        monkeypatch.setattr(environment, "_cgroup_quotas", lambda quota=quota: [quota])
        assert environment.cores() == cores


def test_the_processor_has_a_name():
    assert environment.cpu_model().strip()


def test_the_load_is_the_kernel_s():
    before = os.getloadavg()[0]
    assert environment.load_average() in (before, os.getloadavg()[0])


def test_there_is_no_driver_where_nvidia_s_tool_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.gpu_driver() is None


@pytest.mark.parametrize(
    ("script", "driver"), [("echo 575.57.08; echo 575.57.08", "575.57.08"), ("true", None)], ids=["two GPUs", "no GPU"]
)
def test_the_driver_is_what_nvidia_s_tool_says(nvidia_smi, script, driver):
    nvidia_smi(script)
    assert environment.gpu_driver() == driver


def test_there_is_no_driver_where_nvidia_s_tool_fails(nvidia_smi):
    nvidia_smi("echo NVIDIA-SMI has failed because it could not communicate with the driver; exit 9")
    assert environment.gpu_driver() is None


@pytest.mark.parametrize("path", HASHED)
def test_the_code_s_hash_changes_with_any_source_that_a_run_computes_with(project, path):
    before = code_sha256()
    (project / path).write_text("another")
    assert code_sha256() != before


def test_the_code_s_hash_changes_with_a_source_s_name(project):
    before = code_sha256()
    (project / "runners/core/run.py").rename(project / "runners/core/runs.py")
    assert code_sha256() != before


@pytest.mark.parametrize("path", NOT_HASHED)
def test_the_code_s_hash_is_the_same_when_only_the_report_or_a_text_changes(project, path):
    before = code_sha256()
    (project / path).write_text("another")
    assert code_sha256() == before


def test_two_files_of_one_name_are_told_apart(project):
    before = code_sha256()
    keras, torch = project / "runners/keras/runner.py", project / "runners/torch/runner.py"
    one, other = keras.read_text(), torch.read_text()
    keras.write_text(other)
    torch.write_text(one)
    assert code_sha256() != before


def test_each_source_of_this_project_that_decides_a_result_is_hashed():
    hashed = {str(path.relative_to(environment.PROJECT)) for path in environment.hashed_sources()}
    folders = {str(path.parent) for path in map(PurePath, hashed)}
    assert folders == {"lenet", "runners/core", "runners/keras", "runners/torch"}
    assert {"lenet/torch_model.py", "runners/keras/replicas.py", "runners/torch/optimizers.py"} <= hashed


def test_the_code_s_hash_does_not_depend_on_where_the_code_lies(project, monkeypatch, tmp_path_factory):
    before = code_sha256()
    monkeypatch.setattr(environment, "PROJECT", shutil.copytree(project, tmp_path_factory.mktemp("copy") / "of it"))
    assert code_sha256() == before


def test_this_project_s_hash_is_a_sha256():
    assert re.fullmatch(r"[0-9a-f]{64}", environment.code_sha256())


def test_the_commit_is_named_in_full(project):
    assert git_commit() is None  # not a checkout yet
    name = commit(project)
    assert git_commit() == name


def test_a_commit_from_which_files_differ_is_marked(project):
    name = commit(project, tree=b"print()")
    assert git_commit() == f"{name}+changes"


def test_there_is_no_commit_without_git(project, monkeypatch, tmp_path_factory):
    commit(project)
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    assert git_commit() is None


@pytest.mark.parametrize(
    ("frameworks", "inside", "outside"),
    [
        ({"keras"}, {"keras"}, {"torch"}),
        ({"torch"}, {"torch"}, {"keras", "tensorflow", "tensorflow-cpu"}),
        ({"keras", "torch"}, {"keras", "torch"}, set()),
        (set(), set(), {"keras", "torch"}),
    ],
)
def test_versions_are_those_of_the_frameworks_compared_and_of_what_all_share(frameworks, inside, outside):
    versions = environment.installed_versions(frameworks)
    assert inside | {"python", "numpy", "ray"} <= versions.keys()
    assert not outside & versions.keys()
    assert versions["python"] == platform.python_version()
    assert all(versions[package] == metadata.version(package) for package in versions.keys() - {"python"})


def test_a_package_that_is_not_installed_is_passed_over(monkeypatch):
    monkeypatch.setattr(environment, "COMMON_PACKAGES", ("numpy", "level-field-has-no-such-package"))
    assert environment.installed_versions(set()).keys() == {"python", "numpy"}
