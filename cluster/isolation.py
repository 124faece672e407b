"""Choose the environment of a run's process, and check that versions are the same on every node.

On GPUs TensorFlow and PyTorch cannot share an environment: each installs NCCL and cuDNN for another CUDA, at the same
paths. Isolation gives each framework an environment of its own. Ray makes it on a node when it is first needed there,
and keeps it.
"""

import re
import socket
import time
import tomllib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.resources import Need
from runners.core.environment import PROJECT, code_sha256, installed_versions
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS

CONSTRAINTS = PROJECT / "constraints.txt"
SETUP_SECONDS = 3600  # time limit of an installation: CUDA's wheels are gigabytes

RuntimeEnv = dict[str, Any]
# Returns the runtime environment of a framework's processes, given its name; empty for the node's own environment.
Environments = Callable[[str], RuntimeEnv]


def shared(_framework: str) -> RuntimeEnv:
    """Return no settings: all frameworks share the node's own environment."""
    return {}


def isolated(device: str) -> Environments:
    """Give each framework an environment of its own, with the versions that the project pins."""

    def environment(framework: str) -> RuntimeEnv:
        # Use pip's cache, which Ray's default turns off, so that the next cluster on this machine downloads nothing.
        pip = {"packages": pins(framework, device), "pip_install_options": ["--disable-pip-version-check"]}
        return {"pip": pip, "config": {"setup_timeout_seconds": SETUP_SECONDS}}

    return environment


def environments_of(device: str, isolate: bool | None) -> Environments:
    """Return isolated environments if `isolate`, or if it is None and GPUs are used; else shared ones."""
    return isolated(device) if isolate or (isolate is None and device == "gpu") else shared


def pins(framework: str, device: str) -> list[str]:
    """Return pip's arguments for a framework: its extra in pyproject.toml, in the versions of constraints.txt.

    The project must be at the same path on every node, as Ray's workers require in any case.
    """
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    known = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines())
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in declared[framework]]
    exact = [f"{name}=={known.get(name, known.get(name.replace('-', '_')))}" for name in names]
    if device == "gpu":
        for package, on_gpu in FRAMEWORKS[framework].gpu_packages.items():
            exact = [pin.replace(package, on_gpu) for pin in exact]
    return [f"-c {CONSTRAINTS}", *exact]


def versions_on_nodes(
    frameworks: Collection[str], needs: Sequence[Need], environments: Environments, say: Callable[[str], None]
) -> dict[str, str]:
    """Return the versions of Python and packages in the runs' processes, the same on each node that could hold a run.

    This makes the isolated environments. Raises BadInput if one cannot be made, if versions differ, or if a node's
    code of this project differs from this process's.
    """
    begun = time.monotonic()
    isolates = any(environments(framework) for framework in frameworks)
    if isolates:
        say(f"Making separate environments for {' and '.join(sorted(frameworks))}: minutes the first time.")
    answers = {
        (node["NodeID"], framework): _versions.options(
            runtime_env=environments(framework),
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(framework)
        for node in _nodes_with_room(needs)
        for framework in sorted(frameworks)
    }
    versions = {key: _same_code(*_answer(key[1], ref)) for key, ref in answers.items()}
    if isolates:
        say(f"The environments are there after {time.monotonic() - begun:.1f} s.")
    return agreed_versions(versions)


def agreed_versions(answers: dict[tuple[str, str], tuple[str, dict[str, str]]]) -> dict[str, str]:
    """Return the versions that all agree on; `answers` maps (node id, framework) to host name and versions.

    Raises BadInput if two nodes, which it names, have different versions for a framework, or if two frameworks do.
    """
    first: dict[str, tuple[str, dict[str, str]]] = {}
    together: dict[str, str] = {}
    for (node, framework), (host, versions) in answers.items():
        here = f"{host} ({node[:8]})"
        there, others = first.setdefault(framework, (here, versions))
        for package in sorted(versions.keys() | others.keys()):
            if versions.get(package) != others.get(package):
                raise BadInput(
                    f"versions differ between nodes: {package} for {framework} is {others.get(package)} on {there} and "
                    f"{versions.get(package)} on {here}; install the same from constraints.txt on both"
                )
        for package, version in versions.items():
            if together.setdefault(package, version) != version:
                raise BadInput(
                    f"versions differ between frameworks: {package} is {together[package]}, but {version} for "
                    f"{framework} on {here}; install the same from constraints.txt for both"
                )
    return together


def _nodes_with_room(needs: Sequence[Need]) -> list[dict[str, Any]]:
    """Return the living nodes that could hold a process of a run."""

    def has_room(resources: dict[str, float]) -> bool:
        return any(need.fits(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for need in needs)

    return [node for node in ray.nodes() if node["Alive"] and has_room(node["Resources"])]


# In a fresh process, and without resources: so a node that is full of other users' runs answers too.
@ray.remote(num_cpus=0, max_calls=1)
def _versions(framework: str) -> tuple[str, dict[str, str], str]:
    return socket.gethostname(), installed_versions({framework}), code_sha256()


def _same_code(host: str, versions: dict[str, str], code: str = "of an older kind") -> tuple[str, dict[str, str]]:
    """Return host and versions; raises BadInput if the code on the host differs from this process's."""
    if code != code_sha256():
        raise BadInput(
            f"{host} has other code of this project ({code[:12]}) than this program in {PROJECT} "
            f"({code_sha256()[:12]}); put the same checkout on all machines"
        )
    return host, versions


def _answer(framework: str, ref: ray.ObjectRef) -> tuple[str, dict[str, str], str]:
    try:
        return ray.get(ref)
    except RayError as error:
        lines = str(error).strip().splitlines()
        reason = next((line for line in lines if "ERROR" in line), lines[-1])
        raise BadInput(
            f"no environment for {framework} could be made on a node: {reason.strip()}; its pins are in "
            "constraints.txt, and --no-isolate uses what each node has"
        ) from error
