"""The machine, code and package versions of a run: recorded, and compared before runs are mixed."""

import hashlib
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil

from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS
from runners.core.process import settings_left
from runners.core.record import Environment, Machine
from runners.core.runner import Outcome

PROJECT = Path(__file__).resolve().parents[2]
COMMON_PACKAGES = ("numpy", "ray")


@dataclass(frozen=True)
class Software:
    """What must be equal on all nodes of a study: this project's code, and versions of Python and packages."""

    code_sha256: str
    versions: dict[str, str]


def describe(outcome: Outcome, data_sha256: str, load_before: float) -> Environment:
    """Return the environment of the run that has just produced `outcome` in this process."""
    gpu = outcome.gpu_model is not None
    return Environment(
        **machine().model_dump(),
        gpu_model=outcome.gpu_model,
        gpu_driver=gpu_driver() if gpu else None,
        versions={"python": platform.python_version(), "numpy": metadata.version("numpy"), **outcome.versions},
        flags={**outcome.flags, "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES")},
        variables=settings_left(),
        git_commit=git_commit(),
        code_sha256=code_sha256(),
        data_sha256=data_sha256,
        load_before=load_before,
        load_after=load_average(),
    )


def machine() -> Machine:
    """Return the machine that this process is on."""
    return Machine(
        node=socket.gethostname(),
        os=platform.platform(),
        cpu_model=cpu_model(),
        cpu_cores=cores(),
        memory_bytes=psutil.virtual_memory().total,
    )


def load_average() -> float:
    """Return the one-minute load average."""
    return psutil.getloadavg()[0]


def cores() -> int:
    """Return the number of CPU cores that this process may use, by its affinity mask and its cgroups' quotas."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([mask, *(int(quota) for quota in _cgroup_quotas())]))


def _cgroup_quotas(proc: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> Iterator[float]:
    """Yield the quota in cores of each cgroup around this process that has one.

    Format: cgroup-v2.rst ("cpu.max") and sched-bwc.rst ("cpu.cfs_quota_us") of the kernel's documentation. In a
    container the root of the mount is the process's own cgroup, whatever path /proc has, so the root is read too.
    """
    for line in proc.read_text().splitlines() if proc.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = mounts / "unified" if (mounts / "unified").exists() else mounts
        elif "cpu" in controllers.split(","):
            root = mounts / controllers if (mounts / controllers).exists() else mounts / "cpu"
        else:
            continue
        inner = root / path.strip("/")
        for folder in [inner, *inner.parents]:
            if folder.is_relative_to(root):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Yield one cgroup's quota in cores, if it has one."""
    try:
        if controllers_v2 := _first_line(folder / "cpu.max"):
            quota, period = controllers_v2.split()
        else:
            quota, period = _first_line(folder / "cpu.cfs_quota_us"), _first_line(folder / "cpu.cfs_period_us")
        if quota not in ("max", "-1", ""):
            yield int(quota) / int(period)
    except OSError:  # the quota still limits this process, which may not read it
        return


def _first_line(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def cpu_model() -> str:
    """Return the processor's name from the kernel."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gpu_driver() -> str | None:
    """Return NVIDIA's driver version, or None without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.split("\n")[0].strip() or None if answer.returncode == 0 else None


@cache
def git_commit() -> str | None:
    """Return the checkout's commit, with `+changes` if files differ; None outside a checkout."""
    if shutil.which("git") is None:
        return None
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def hashed_sources() -> list[Path]:
    """Return the sources that decide a run's result: the network's folder, runners/core and the frameworks' folders."""
    folders = [PROJECT / "lenet", *(PROJECT / "runners" / name for name in ("core", *FRAMEWORKS))]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@cache
def code_sha256() -> str:
    """Return the SHA-256 over the sources that decide a run's result, each with its path in the project."""
    digest = hashlib.sha256()
    for path in hashed_sources():
        digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def installed_versions(frameworks: set[str]) -> dict[str, str]:
    """Return the installed versions of Python and of the packages of `frameworks`."""
    packages = [*COMMON_PACKAGES, *(p for name in sorted(frameworks) for p in FRAMEWORKS[name].packages)]
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def refuse_other_software(framework: str, expected: Software) -> None:
    """Raise BadInput if this process has other code or other package versions than the study.

    Its node may have joined after the study began, or may have another checkout.
    """
    if code_sha256() != expected.code_sha256:
        raise BadInput(
            f"{socket.gethostname()} has other code of this project in {PROJECT} ({code_sha256()[:12]}) than the study "
            f"({expected.code_sha256[:12]}); put the same checkout there, and repeat the command with --retry-failed"
        )
    for package, version in installed_versions({framework}).items():
        other = expected.versions.get(package)
        if version != other:
            raise BadInput(
                f"{socket.gethostname()} has {package} {version}, but the study's other runs {other}; "
                "install the same from constraints.txt there, and repeat the command with --retry-failed"
            )
