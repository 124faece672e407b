"""Starting, joining and refusing a Ray cluster, with real ones."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import ray
from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
from ray._common.usage.usage_lib import get_cluster_metadata
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, and not in its stub
from ray.cluster_utils import Cluster

from cluster.nodes import Node, device_here, no_room_since, nodes, preflight, slots, wait_for_room
from cluster.resources import Need
from cluster.session import ENDED, _read_authentication, session
from lenet.data import cache_folder
from runners.core import environment
from runners.core.errors import BadInput, ClusterLost
from tests.helpers.processes import run_script, wait_until_gone
from tests.helpers.rays import address_left_in, kill_tree, ray_head, wait_for

OPEN = {"RAY_AUTH_MODE": "disabled"}
ITS_OWN = (3, 1)  # logical CPUs and GPUs of a running Ray, unlike this machine's
REFUSED_WITHIN_SECONDS = 60  # a script loads in 2 to 4 seconds on a quiet machine


@pytest.fixture(autouse=True)
def no_cluster_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(scope="module", autouse=True)
def open_to_all() -> Iterator[None]:
    """Rays that this process starts or joins ask for no token, whatever this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        _read_authentication()
        yield
    _read_authentication()


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    with ray_head(*ITS_OWN, OPEN) as (address, _):
        yield address


def test_a_local_cluster_is_started_and_stopped_again_without_a_dashboard(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with session("local") as where:
        assert ray.is_initialized()
        assert not ray._private.worker.get_dashboard_url()
        raylets = [child for child in psutil.Process().children(recursive=True) if child.name() == "raylet"]
        assert raylets
        assert f"Ray {ray.__version__}" in where
        assert [node.cpus for node in nodes()] == [environment.cores()]
        assert device_here() == "cpu"
        assert signal.getsignal(signal.SIGTERM) is before
        with pytest.raises(BadInput, match=r"each run needs 64 CPU\(s\) and 8 GPU\(s\) on one node.*1 node"):
            preflight(Need(cpus=64, gpus=8))
        preflight(Need(cpus=1, gpus=0))
        assert slots(Need(cpus=1, gpus=0)) == len(os.sched_getaffinity(0))
        assert slots(Need(cpus=1, gpus=1)) == 0
    assert not ray.is_initialized()
    assert wait_until_gone(raylets) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("how", ["auto", "RAY_ADDRESS"])
def test_a_running_cluster_is_joined_and_left_running(head: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", head)
    with session("auto") as where:
        assert [(node.cpus, node.gpus) for node in nodes()] == [(3, 1)]
        assert device_here() == "gpu"
        assert "1 GPU(s)" in where
        assert slots(Need(cpus=1, gpus=1)) == 1
    with session(head):
        assert len(nodes()) == 1


@pytest.mark.parametrize("how", ["named", "RAY_ADDRESS"])
def test_an_address_where_no_cluster_is_gives_one_sentence(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with (
        pytest.raises(BadInput, match=r"no Ray cluster answers at .*:1; start one there with `ray start --head`"),
        session("127.0.0.1:1" if how == "named" else "auto"),
    ):
        pass


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://10.0.0.1:10001", "a:b:c"])
def test_an_address_in_a_variable_that_is_none_is_told_with_its_name(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(BadInput, match=rf"^RAY_ADDRESS '{address}' is not auto, local or a cluster's HOST:PORT"):
        session("auto").__enter__()


def test_an_address_that_is_none_gives_one_sentence() -> None:
    with pytest.raises(BadInput, match="is not auto, local or a cluster's HOST"), session("a:b:c:d"):
        pass


@pytest.mark.thorough
def test_a_crashed_cluster_s_address_is_passed_over() -> None:
    with ray_head(*ITS_OWN, {}) as (address, process):
        kill_tree(process)
        assert address_left_in().endswith(address.split(":")[1])
        with session("auto") as where:
            assert not where.endswith(address)
            assert [node.cpus for node in nodes()] == [len(os.sched_getaffinity(0))]


@pytest.mark.thorough
def test_a_cluster_s_token_opens_it_and_without_it_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    def compare(**variables: str) -> subprocess.CompletedProcess[str]:
        return run_script("compare", "--address", address, "--threads", 64, "--out", tmp_path, **variables)

    with ray_head(*ITS_OWN, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "1" * 64}) as (address, _):
        strangers = [
            compare(RAY_AUTH_MODE="disabled"),
            compare(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64),
            compare(RAY_AUTH_MODE="token", HOME=str(tmp_path), XDG_CACHE_HOME=str(cache_folder().parents[1])),
        ]
        for refused in strangers:
            assert refused.returncode == 2
            assert re.search(r"^error: the Ray cluster at \S+ accepts only clients with its token", refused.stderr)
            assert refused.stderr.count("\n") == 1
        joined = compare(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="1" * 64)
        (error,) = joined.stderr.splitlines()  # without a warning
        assert error.startswith("error: each run needs 64 CPU(s)")


def test_what_no_living_node_can_hold_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.nodes.nodes", lambda: [Node(cpus=2, gpus=0)])
    gpu, cpu = Need(cpus=1, gpus=1), Need(cpus=2, gpus=0)
    assert no_room_since([], 0.0, 5) is None
    assert no_room_since([gpu, cpu], 0.0, 5) is None, "one of them goes on, or could"
    since = no_room_since([gpu, Need(1, 0, processes=3)], None, 5)
    assert since is not None
    assert no_room_since([gpu], since, 500) == since
    with pytest.raises(ClusterLost, match=r"no node has had room for 1 CPU\(s\) and 1 GPU\(s\) for 0 seconds: the"):
        no_room_since([gpu, gpu], since, 0)


@pytest.mark.thorough
def test_a_cluster_that_lets_everyone_in_is_joined_with_a_warning(head: str, tmp_path: Path) -> None:
    asked = ("--address", head, "--threads", 64, "--out", tmp_path)
    warning, error = run_script("compare", *asked, RAY_AUTH_MODE="disabled").stderr.splitlines()
    assert warning.startswith("warning: the Ray cluster at ")
    advice = "lets in everyone who reaches it, and runs what they send; restart it, after `ray get-auth-token"
    assert advice in warning
    assert error.startswith("error: each run needs 64 CPU(s)")


def test_a_cluster_of_another_ray_is_refused_with_both_versions(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.utils.compute_version_info", lambda: ("1.2.3", "3.4.5"))
    with pytest.raises(BadInput) as refusal, session(head):
        pytest.fail("joined")
    ray.shutdown()
    assert f"Ray: {ray.__version__} Python: {platform.python_version()} This process" in str(refusal.value)
    assert "Ray: 1.2.3 Python: 3.4.5" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(("torch:ddp:2", "--device", "gpu"), 0, id="GPUs"),
        pytest.param(("--threads", 64), 2, id="processors, waited for", marks=pytest.mark.thorough),
    ],
)
def test_more_than_a_cluster_has_exits_2_within_seconds(
    head: str, asked: tuple[object, ...], seconds: int, tmp_path: Path
) -> None:
    begun = time.monotonic()
    waited_for = ("--wait-for-nodes", seconds, "--out", tmp_path)
    done = run_script("compare", *asked, "--address", head, *waited_for, RAY_AUTH_MODE="disabled")
    assert seconds < time.monotonic() - begun < REFUSED_WITHIN_SECONDS
    assert done.returncode == 2
    error = done.stderr.splitlines()[-1]
    assert "each run needs" in error if asked[0] == "--threads" else "2 times 1 CPU(s) and 1 GPU(s) each" in error
    assert "3 CPU(s), 1 GPU(s)" in error
    assert ("Waiting up to 2 seconds for room for 64 CPU(s)" in done.stdout) == bool(seconds)


@pytest.mark.thorough
def test_a_head_of_another_ray_and_python_is_refused_by_the_script(
    tmp_path: Path,
) -> None:
    with ray_head(*ITS_OWN, OPEN, hidden=True) as (address, _):
        client = GcsClient(address=address)
        told = get_cluster_metadata(client) | {"ray_version": "2.40.0", "python_version": "3.9.1"}
        client.internal_kv_put(CLUSTER_METADATA_KEY, json.dumps(told).encode(), True, b"cluster")
        done = run_script("compare", "torch", "--address", address, "--out", tmp_path, RAY_AUTH_MODE="disabled")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Ray: 2.40.0 Python: 3.9.1" in done.stderr
    assert f"Ray: {ray.__version__} Python: {platform.python_version()}" in done.stderr


@pytest.fixture(scope="module")
def growing() -> Iterator[Cluster]:
    """A cluster of one node with one CPU, to which more can be added."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.mark.thorough
def test_a_node_that_never_comes_is_refused_once_the_time_is_up(growing: Cluster) -> None:
    need = Need(cpus=1, gpus=1)
    told: list[str] = []
    with session(growing.address):
        wait_for_room(need, 1, told.append)
        assert len(told) == 1
        with pytest.raises(BadInput, match=r"each run needs 1 CPU\(s\) and 1 GPU\(s\) on one node.*have: 1 CPU"):
            preflight(need)


@pytest.mark.thorough
def test_a_node_that_comes_late_is_waited_for_and_what_is_waited_for_is_told(growing: Cluster) -> None:
    need = Need(cpus=3, gpus=0)
    told: list[str] = []
    with session(growing.address), ThreadPoolExecutor() as pool:
        wait_for_room(need, 0, told.append)
        assert told == []
        with pytest.raises(BadInput):
            preflight(need)
        waiting = pool.submit(wait_for_room, need, 60, told.append)
        wait_for(lambda: bool(told))
        growing.add_node(num_cpus=3)
        waiting.result()
        preflight(need)
        wait_for_room(need, 60, told.append)
    (line,) = told
    assert line == ("Waiting up to 60 seconds for room for 3 CPU(s): the cluster's 1 node(s) have: 1 CPU(s), 0 GPU(s).")


ALONE = """
import os, pathlib, psutil, ray, subprocess, sys
from cluster.session import session

STRANGER = ("import sys; from ray._raylet import GcsClient;"
    "GcsClient(address=sys.argv[1]).internal_kv_keys(b'', b'cluster')")

def visited(token, folder):
    ray.get(ray.remote(lambda: print("a line for the logs")).remote())
    files = [path for path in folder.rglob("*") if path.is_file()]
    lines = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    told = [path for path in files if token.encode() in path.read_bytes()] + [line for line in lines if token in line]
    address = ray.get_runtime_context().gcs_address
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    def knock(**shown):
        done = subprocess.run([sys.executable, "-c", STRANGER, address], env=plain | shown, capture_output=True)
        return done.returncode == 0
    own, none, wrong = ("token", token), ("disabled", ""), ("token", "0" * 64)
    let_in = [knock(RAY_AUTH_MODE=mode, RAY_AUTH_TOKEN=shown) for mode, shown in (own, none, wrong)]
    return len(files) > 9, told, let_in

with session("local"):
    mine = psutil.Process().children(recursive=True)
    heard = [each.laddr.ip for child in mine for each in child.net_connections() if each.status == "LISTEN"]
    print(len(heard), sorted(set(heard)), os.environ["RAY_AUTH_MODE"], file=sys.__stdout__, flush=True)
    (raylet,) = [child for child in mine if child.name() == "raylet"]
    inside = raylet.environ()
    told = inside["RAY_AUTH_MODE"], len(inside["RAY_AUTH_TOKEN"]), "XLA_FLAGS" in inside
    print(*told, oct(os.stat(inside["TMPDIR"]).st_mode)[-3:], inside["TMPDIR"], file=sys.__stdout__, flush=True)
    print(*[each.pid for each in mine], file=sys.__stdout__, flush=True)
    if "visited" in sys.argv:
        print(*visited(inside["RAY_AUTH_TOKEN"], pathlib.Path(inside["TMPDIR"])), file=sys.__stdout__, flush=True)
    if "killed" in sys.argv:
        os.kill(os.getpid(), 9)
"""


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["visited", "killed"])
def test_a_ray_of_our_own_needs_no_home_hears_this_machine_alone_and_leaves_nothing(how: str, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 95)
    long.mkdir()
    variables = {"TMPDIR": str(long), "HOME": "/proc/no/home", "RAY_AUTH_MODE": "disabled", "XLA_FLAGS": "x"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, how],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    heard, inside, pids, *visitors = done.stdout.splitlines()
    assert visitors == (["True [] [True, False, False]"] if how == "visited" else []), "the token is written nowhere"
    assert re.fullmatch(r"[1-9]\d* \[('::1', )?'127\.0\.0\.1'(, '::ffff:127\.0\.0\.1')?\] disabled", heard)
    inside, folder = inside.rsplit(" ", 1)
    assert inside == "token 64 False 700"
    assert done.returncode == (-9 if how == "killed" else 0)
    assert done.stderr == (ENDED if how == "killed" else "")
    started = [psutil.Process(pid) for pid in map(int, pids.split()) if psutil.pid_exists(pid)]
    assert wait_until_gone(started, seconds=15) == []
    wait_for(lambda: not Path(folder).exists(), seconds=15)


def test_a_ray_that_cannot_start_here_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise OSError("AF_UNIX path length cannot exceed 107 bytes\nand more")

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(BadInput, match=r"^no Ray could be started on this machine: AF_UNIX path length .* bytes; mend"):
        session("local").__enter__()
