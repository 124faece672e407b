"""The whole way on two hosts: `ray up`, `ray submit` of a real study, its results fetched, a host lost, `ray down`."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from lenet.data import cache_folder, load
from runners.core.record import RunRecord
from tests.helpers.processes import run_script
from tests.lab.hosts import Host, Lab, hosts, what_is_missing

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(what_is_missing() is not None, reason=f"no test hosts: {what_is_missing()}"),
]

PROJECT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).parent / "ray")
HEAD, WORKER = "lab-head", "lab-worker"
SINGLE, REPLICATED = ("keras", "torch"), ("torch:ddp:2", "keras:multiworker:2")
REPORTED_LOST_SECONDS = 400  # Ray's own health checks take up to a minute, and a busy machine its time


@dataclass(frozen=True)
class Cluster:
    """The two hosts, and what the machine that `ray up` is typed on has of its own."""

    lab: Lab
    hosts: dict[str, Host]
    launcher: Path

    @property
    def file(self) -> Path:
        return self.launcher / "cluster.yaml"

    @property
    def address(self) -> str:
        return f"{self.hosts[HEAD].address}:6379"

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        own = {"HOME": str(self.launcher), "RAY_TMPDIR": str(self.launcher), "RAY_USAGE_STATS_ENABLED": "0"}
        return {**kept, **own, **variables}

    def ray(self, *arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [RAY, *map(str, arguments)],
            cwd=PROJECT,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )

    def alive(self) -> int:
        """How many nodes Ray counts, asked as who has the token."""
        said = self.ray("status", "--address", self.address, RAY_AUTH_MODE="token").stdout
        active = said.partition("Active:")[2].partition("Pending:")[0]
        return sum(map(int, re.findall(r"^ (\d+) ", active, flags=re.MULTILINE)))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """`ray up` of the shipped cluster.yaml, for two hosts of this machine."""
    load()  # brings the data to one of the places that the hosts are told of
    data = {
        "XDG_CACHE_HOME": str(cache_folder().parents[1]),
        "KERAS_HOME": os.environ.get("KERAS_HOME", str(Path.home() / ".keras")),
    }
    folder = tmp_path_factory.mktemp("lab")
    with hosts(folder, (HEAD, WORKER), {"RAY_USAGE_STATS_ENABLED": "0"} | data) as (lab, up):
        made = Cluster(lab, up, launcher=folder / "launcher")
        made.launcher.mkdir()
        made.file.write_text(yaml.safe_dump(for_the_lab(lab, up)))
        made.ray("get-auth-token", "--generate")
        begun = made.ray("up", "-y", made.file)
        assert begun.returncode == 0, begun.stdout
        wait_for_nodes(made, 2)
        yield made
        ended = made.ray("down", "-y", made.file)
        assert ended.returncode == 0, ended.stdout
        assert not ray_processes_of(up[HEAD])


def for_the_lab(lab: Lab, up: dict[str, Host]) -> dict[str, object]:
    """The shipped file with these hosts, their user and key, and this machine's packages instead of a download."""
    config = yaml.safe_load((PROJECT / "cluster" / "cluster.yaml").read_text())
    config["provider"].update(head_ip=up[HEAD].address, worker_ips=[up[WORKER].address])
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(lab.key)}
    kept = [command for command in config["setup_commands"] if "venv" not in command]
    config["setup_commands"] = [*kept, f"ln -sfn {sys.prefix} ~/level-field/.venv"]
    return config


def wait_for_nodes(cluster: Cluster, count: int) -> None:
    deadline = time.monotonic() + 300
    while cluster.alive() != count:
        assert time.monotonic() < deadline, cluster.ray("status", "--address", cluster.address).stdout


def ray_processes_of(host: Host) -> list[str]:
    names = []
    for process in psutil.Process(host.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            names.append(" ".join(process.cmdline()))
    return [name for name in names if "raylet" in name or name.startswith("ray::")]


def records_of(results: Path) -> dict[str, RunRecord]:
    return {path.stem: RunRecord.model_validate_json(path.read_text()) for path in (results / "runs").glob("*.json")}


def test_a_study_submitted_to_two_hosts_runs_on_both_and_its_results_come_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    # Two cores for each process: a replica takes all that a host has. Native, since a parity audit takes minutes here.
    small = ("--track", "native", "--seeds", 1, "--epochs", 1, "--limit-train", 1280)
    study = (*small, "--threads", 2, "--out", "results/two-hosts")
    done = cluster.ray("submit", cluster.file, "scripts/compare.py", "--", *SINGLE, *REPLICATED, *study)
    assert done.returncode == 0, done.stdout
    fetched = cluster.ray("rsync-down", cluster.file, "results/", f"{tmp_path}/")
    assert fetched.returncode == 0, fetched.stdout
    records = records_of(tmp_path / "two-hosts")
    assert {str(record.spec.contender) for record in records.values()} == {*SINGLE, *REPLICATED}
    assert {record.status for record in records.values()} == {"completed"}
    for record in records.values():
        assert record.clock is not None
        seconds = f"{record.clock.startup_seconds:.0f} s to start, {record.clock.total_seconds:.0f} s in all"
        print(f"{record.run_id} on {', '.join(record.nodes)}: {seconds}")
        replicated = str(record.spec.contender) in REPLICATED
        assert set(record.nodes) == ({HEAD, WORKER} if replicated else {record.node})
        assert len(record.nodes) == record.spec.contender.replicas
    reported = run_script("report", tmp_path / "two-hosts")
    assert reported.returncode == 0, reported.stderr
    assert len(pd.read_csv(tmp_path / "two-hosts" / "tables" / "runs.csv")) == 4


def test_a_client_without_the_token_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.alive() == 2
    variables = {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    asked = cluster.ray("status", "--address", cluster.address, **variables)
    assert asked.returncode != 0
    assert "Active:" not in asked.stdout


def test_the_dashboard_answers_the_head_alone_and_takes_jobs(cluster: Cluster) -> None:
    probe = f"exec 3<> /dev/tcp/{cluster.hosts[HEAD].address}/8265"
    outside = subprocess.run(["bash", "-c", probe], capture_output=True, check=False)
    assert outside.returncode != 0
    documented = (PROJECT / "cluster" / "cluster.yaml").read_text()
    (submit,) = re.findall(r"# +RAY_AUTH_MODE=token (ray job submit .*)", documented)
    study = "torch --track native --seeds 1 --epochs 1 --limit-train 1280 --out results/job"
    inside = cluster.ray("exec", cluster.file, f"{submit} {study}")
    assert inside.returncode == 0, inside.stdout
    assert "2 node(s)" in inside.stdout
    assert "torch-native-seed0  epoch 1/1" in inside.stdout


def test_the_runs_of_a_host_that_dies_are_done_on_the_other_and_flagged(cluster: Cluster, tmp_path: Path) -> None:
    study = ("--seeds", 2, "--epochs", 3, "--limit-train", 20_000, "--track", "native", "--out", "results/one-lost")
    command = [RAY, "submit", cluster.file, "scripts/compare.py", "--", "torch", "torch", *study]
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=PROJECT,
        env=cluster.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as submitted:
        lost = kill_in_the_middle(cluster.hosts[WORKER])
        said, _ = submitted.communicate(timeout=REPORTED_LOST_SECONDS + 60)
    assert submitted.returncode == 0, said
    fetched = cluster.ray("rsync-down", cluster.file, "results/", f"{tmp_path}/")
    assert fetched.returncode == 0, fetched.stdout
    records = records_of(tmp_path / "one-lost")
    assert len(records) == 4
    assert {record.status for record in records.values()} == {"completed"}
    moved = {run_id for run_id, record in records.items() if record.attempts > 1}
    assert lost  # and what Ray had already sent there without having begun it is done again too
    assert lost <= moved
    seen = [records[run_id].environment for run_id in moved]
    assert {environment and environment.node for environment in seen} == {HEAD}
    reported = run_script("report", tmp_path / "one-lost")
    named = re.search(r"A process died and its run was done anew \(([^)]*)\)", " ".join(reported.stdout.split()))
    assert named is not None, reported.stdout
    assert set(named[1].split(", ")) == moved


def kill_in_the_middle(host: Host) -> set[str]:
    """Kill the host when its first run has trained for a moment; the runs that it had."""
    deadline = time.monotonic() + 300
    while not (runs := [name for name in ray_processes_of(host) if name.startswith("ray::torch")]):
        assert time.monotonic() < deadline, (host.folder / "log").read_text()
        time.sleep(0.1)
    time.sleep(2)
    runs = [name for name in ray_processes_of(host) if name.startswith("ray::torch")]
    host.kill()
    return {name.removeprefix("ray::").strip() for name in runs}
