"""The files that bring clusters up: valid by Ray's schema or KubeRay's fields, closed to strangers, without secrets."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from ray.autoscaler._private.local.config import prepare_local
from ray.autoscaler._private.util import fillout_defaults, prepare_config, validate_config

from cluster.session import ENVIRONMENTS_GIGABYTES
from tests.cluster.kubernetes_fields import unknown_or_missing

PROJECT = Path(__file__).parents[2]
CLUSTER = PROJECT / "cluster"
CLOSES_KNOWN_HOLES = Version("2.56")  # CVE-2025-62593 by 2.52, CVE-2026-41486 by 2.55, CVE-2026-57516 by 2.56
LAUNCHED = ("cluster.yaml", "aws.yaml")  # by `ray up`
EXPLAINED = (*LAUNCHED, "kuberay.yaml", "slurm.sh")
SHIPPED = sorted(
    path.name for path in CLUSTER.iterdir() if path.suffix in {".yaml", ".sh"} or path.name == "Dockerfile"
)


def text_of(name: str) -> str:
    return (CLUSTER / name).read_text()


def launched(name: str) -> dict[str, Any]:
    return yaml.safe_load(text_of(name))


def ray_job() -> dict[str, Any]:
    *_, job = yaml.safe_load_all(text_of("kuberay.yaml"))
    return job


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)
    else:
        yield str(value)


@pytest.mark.parametrize("name", LAUNCHED)
def test_what_ray_up_reads_is_valid_by_ray_s_own_schema(name: str) -> None:
    config = launched(name)
    validate_config(prepare_config(config) if name == "cluster.yaml" else fillout_defaults(config))
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**fillout_defaults(config), "dashboard_host": "0.0.0.0"})


def test_every_machine_named_in_cluster_yaml_is_wanted() -> None:
    prepared, _ = prepare_local(launched("cluster.yaml"))
    (kind,) = prepared["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(launched("cluster.yaml")["provider"]["worker_ips"]) == 2


@pytest.mark.parametrize("name", LAUNCHED)
def test_all_that_an_installation_needs_is_carried_to_the_machines(name: str) -> None:
    mounts = {remote: local for remote, local in launched(name)["file_mounts"].items() if "level-field" in remote}
    assert all((PROJECT / local).exists() for local in mounts.values())
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    packages = {pattern.rstrip("*") for pattern in declared["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert {*packages, "pyproject.toml", "constraints.txt", declared["project"]["readme"]} == set(mounts.values())
    assert all(remote == f"~/level-field/{local}" for remote, local in mounts.items())
    assert any("-c constraints.txt -e '.[keras,torch]'" in command for command in launched(name)["setup_commands"])


def test_the_image_for_kubernetes_holds_what_the_machines_get() -> None:
    carried = {Path(remote).name for remote in launched("cluster.yaml")["file_mounts"] if "level-field" in remote}
    copied = re.findall(r"^COPY --chown=\S+ (.*) \S+$", text_of("Dockerfile"), flags=re.MULTILINE)
    assert {source for line in copied for source in line.split()} == carried


def test_aws_scales_gpu_machines_from_none_takes_spot_and_opens_nothing_but_ssh() -> None:
    config = launched("aws.yaml")
    head, gpu = config["available_node_types"]["head"], config["available_node_types"]["gpu"]
    assert (gpu["min_workers"], gpu["max_workers"]) == (0, config["max_workers"])
    assert gpu["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in head["node_config"]
    # Ray's own rules are SSH, and everything within the group; more would have to be asked for by one of these.
    words = set(strings_in(config))
    assert not words & {"security_group", "IpPermissions", "SecurityGroupIds", "SecurityGroups", "NetworkInterfaces"}


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_dashboard_is_on_loopback_and_only_ray_s_own_port_is_named(name: str) -> None:
    start = launched(name)["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in start
    assert re.findall(r"port=(\d+)", start) == ["6379"]
    assert "ray-client" not in start


def under_slurm(project: Path, ray: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """slurm.sh as sbatch runs it, with stand-ins: srun leaves its arguments in a file, and `ray` is this script."""
    programs = project / ".venv" / "bin"
    programs.mkdir(parents=True)
    scripts = {"ray": ray, "srun": 'printf "%s\\n" "$@" > arguments', "hostname": "echo 192.0.2.10 198.51.100.1"}
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    told = {"SLURM_SUBMIT_DIR": project, "SLURM_JOB_ID": 123456, "SLURM_JOB_NUM_NODES": 3, "SLURM_CPUS_PER_TASK": 8}
    return subprocess.run(
        ["bash", CLUSTER / "slurm.sh", *arguments],
        env=os.environ | {name: str(value) for name, value in told.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_under_slurm_each_machine_is_one_ray_node_with_the_cores_asked_for_and_one_runs_the_study(
    tmp_path: Path,
) -> None:
    done = under_slurm(tmp_path, "echo token; echo made >&2", "--seeds", "10", "--out", "results/a b")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "made\n"), "the token is not shown"
    address = "192.0.2.10:23456"
    assert (tmp_path / "arguments").read_text().splitlines() == [
        *("--nodes=3", "--ntasks=3", "--cpus-per-task=8"),
        *("ray", "symmetric-run", "--address", address, "--min-nodes", "3"),
        *("--num-cpus=8", "--dashboard-host=127.0.0.1", "--disable-usage-stats"),
        *("--", "python", "scripts/compare.py", "--address", address, "--seeds", "10", "--out", "results/a b"),
    ]


def test_under_slurm_a_token_that_cannot_be_made_ends_the_job_with_the_reason(tmp_path: Path) -> None:
    done = under_slurm(tmp_path, "echo 'disk full' >&2; exit 3")
    assert (done.returncode, done.stderr) == (3, "disk full\n")
    assert not (tmp_path / "arguments").exists()


def test_under_slurm_the_dashboard_is_on_loopback_and_the_token_unread_by_others() -> None:
    assert "--dashboard-host=127.0.0.1" in text_of("slurm.sh")
    assert "umask 077" in text_of("slurm.sh")
    assert "RAY_AUTH_MODE=token" in text_of("slurm.sh")


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_machine_runs_ray_only_for_who_has_the_token(name: str) -> None:
    config = launched(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    first, second = config["setup_commands"][:2]
    assert first == "chmod 600 ~/.ray/auth_token"
    assert ". ~/level-field/cluster/environment.sh" in second
    assert "export RAY_AUTH_MODE=token" in text_of("environment.sh")


@pytest.mark.parametrize("place", [0, 1])
def test_kubernetes_finds_known_fields_and_no_others_however_deep(place: int) -> None:
    given = list(yaml.safe_load_all(text_of("kuberay.yaml")))[place]
    kind = ("PersistentVolumeClaim", "RayJob")[place]
    assert (given["apiVersion"], given["kind"]) == (("v1", "ray.io/v1")[place], kind)
    assert list(unknown_or_missing(given, kind)) == []


def test_a_field_that_kubernetes_does_not_know_or_misses_is_seen_however_deep() -> None:
    job = ray_job()
    cluster = job["spec"]["rayClusterSpec"]
    cluster["autoscalerOptions"]["idleTimeout"] = cluster["autoscalerOptions"].pop("idleTimeoutSeconds")
    pod = cluster["workerGroupSpecs"][0]["template"]["spec"]
    pod["containers"][0]["resource"] = pod["containers"][0].pop("resources")
    del pod["containers"][0]["name"]
    cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    assert set(unknown_or_missing(job, "RayJob")) == {
        "spec.rayClusterSpec.autoscalerOptions.idleTimeout is unknown",
        "spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus is 0, and no text",
        "spec.rayClusterSpec.workerGroupSpecs.template.spec.containers.name is missing",
        "spec.rayClusterSpec.workerGroupSpecs.template.spec.containers.resource is unknown",
    }


def test_on_gpus_both_frameworks_are_compared() -> None:
    entrypoint = ray_job()["spec"]["entrypoint"]
    (submitted,) = re.findall(r"ray submit cluster/aws.yaml (.*)", text_of("aws.yaml"))
    for command in (entrypoint, submitted):
        assert re.search(r"scripts/compare.py (-- )?--device gpu ", command), "contenders are the default ones"


@pytest.mark.parametrize("name", ["environment.sh", "kuberay.yaml", "slurm.sh"])
def test_ray_keeps_both_frameworks_environments(name: str) -> None:
    variable, gigabytes = ENVIRONMENTS_GIGABYTES
    assert re.findall(rf"\b{variable}\W+(?:value\W+)?(\d+)", text_of(name)) == [gigabytes]


def test_the_rayjob_has_a_token_and_nothing_that_opens_it_outwards() -> None:
    spec = ray_job()["spec"]["rayClusterSpec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not set(strings_in(ray_job())) & {"enableIngress", "hostPort", "hostNetwork", "NodePort", "LoadBalancer"}


def test_every_ray_that_is_named_has_the_known_holes_closed_and_is_the_pinned_one() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    (ray_range,) = [Requirement(text).specifier for text in declared if Requirement(text).name == "ray"]
    assert all(Version(part.version) >= CLOSES_KNOWN_HOLES for part in ray_range)
    (image,) = re.findall(r"FROM rayproject/ray:([\d.]+)-py312\b", text_of("Dockerfile"))
    assert image == ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__
    assert Version(ray.__version__) >= CLOSES_KNOWN_HOLES
    assert all(f"Ray {CLOSES_KNOWN_HOLES} or later" in text_of(name) for name in EXPLAINED)


@pytest.mark.parametrize("name", EXPLAINED)
def test_each_file_begins_with_how_to_use_it_in_three_commands(name: str) -> None:
    title, *usage, after = text_of(name).removeprefix("#!/usr/bin/env bash\n").splitlines()[:5]
    assert title.startswith("# Level Field ")
    assert all(re.match(r"#   [a-z]+ ", line) for line in usage)
    assert after == "#"


@pytest.mark.parametrize("name", SHIPPED)
def test_no_file_holds_a_secret(name: str) -> None:
    text = text_of(name)
    assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|eyJ[\w-]{20,}", text)
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)  # as Ray's tokens look
    assert not re.search(r"(?i)RAY_AUTH_TOKEN=|(?:password|secret|access_key)\w*\s*[:=]\s*\S", text)


@pytest.mark.parametrize("name", ["slurm.sh", "environment.sh"])
def test_the_shell_passes_shellcheck(name: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian's package of that name)")
    done = subprocess.run(["shellcheck", CLUSTER / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
