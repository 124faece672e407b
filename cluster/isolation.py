"""Which environment a run's process has, and whether the versions in it are the same on every node.

On GPUs TensorFlow and PyTorch cannot share one: each brings NCCL and cuDNN of another CUDA, at the same paths.
Isolated, each framework has its own, which Ray makes on a node once it is needed there, and keeps.
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
SETUP_SECONDS = 3600  # that an installation may take: CUDA's wheels are gigabytes

RuntimeEnv = dict[str, Any]
# Of a framework's name: what Ray is to make for its processes; empty where they have the node's own environment.
Environments = Callable[[str], RuntimeEnv]


def shared(_framework: str) -> RuntimeEnv:
    """Every framework in the environment that its node has."""
    return {}


def isolated(device: str) -> Environments:
    """Each framework in an environment of its own, with the versions that the project pins."""

    def environment(framework: str) -> RuntimeEnv:
        # With pip's cache, which Ray's default leaves out, another cluster on this machine downloads nothing again.
        pip = {"packages": pins(framework, device), "pip_install_options": ["--disable-pip-version-check"]}
        return {"pip": pip, "config": {"setup_timeout_seconds": SETUP_SECONDS}}

    return environment


def environments_of(device: str, isolate: bool | None) -> Environments:
    """Isolated ones if so asked or, if nothing is, where GPUs are used."""
    return isolated(device) if isolate or (isolate is None and device == "gpu") else shared


def pins(framework: str, device: str) -> list[str]:
    """What pip is to install for a framework: its extra in pyproject.toml, in the versions of constraints.txt.

    The project is at the same path on every node, as Ray's workers need it to be in any case.
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
    frameworks: Collection[str], needs: Sequence[Need], environments: Environments, tell: Callable[[str], None]
) -> dict[str, str]:
    """Versions of Python and packages that the runs' processes have, asked of each node that could hold a run.

    Isolated environments are made by this. Raises BadInput where one cannot be made, where versions differ, or where a
    node holds other code of this project than this process.
    """
    begun = time.monotonic()
    isolates = any(environments(framework) for framework in frameworks)
    if isolates:
        tell(f"Making an environment of its own for {' and '.join(sorted(frameworks))}: minutes the first time.")
    asked = {
        (node["NodeID"], framework): _versions.options(
            runtime_env=environments(framework),
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(framework)
        for node in _able(needs)
        for framework in sorted(frameworks)
    }
    answers = {who: _same_code(*_answer(who[1], ref)) for who, ref in asked.items()}
    if isolates:
        tell(f"The environments are there after {time.monotonic() - begun:.1f} s.")
    return agreed(answers)


def agreed(answers: dict[tuple[str, str], tuple[str, dict[str, str]]]) -> dict[str, str]:
    """The versions that all (node id, framework) have, given the host's name and versions of each.

    Raises BadInput, naming both nodes, where two nodes differ in what they have for a framework.
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


def _able(needs: Sequence[Need]) -> list[dict[str, Any]]:
    """Living nodes with room for a process of a run."""

    def able(resources: dict[str, float]) -> bool:
        return any(need.fits(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for need in needs)

    return [node for node in ray.nodes() if node["Alive"] and able(node["Resources"])]


# In a fresh process, and without resources: a node full of others' runs answers too.
@ray.remote(num_cpus=0, max_calls=1)
def _versions(framework: str) -> tuple[str, dict[str, str], str]:
    return socket.gethostname(), installed_versions({framework}), code_sha256()


def _same_code(host: str, versions: dict[str, str], code: str = "of an older kind") -> tuple[str, dict[str, str]]:
    """Host and versions; raises BadInput if the code there is not this process's."""
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
        why = str(error).strip().splitlines()
        reason = next((line for line in why if "ERROR" in line), why[-1])
        raise BadInput(
            f"no environment for {framework} could be made on a node: {reason.strip()}; its pins are in "
            "constraints.txt, and --no-isolate uses what each node has"
        ) from error
