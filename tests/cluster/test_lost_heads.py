"""Drivers and studies whose Ray dies under them, or comes back as another, with real ones."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from ray.exceptions import RayError

from cluster.session import _what_failed
from runners.core.scratch import LAST_WORDS
from tests.helpers.processes import TOKEN, finish, read_until, run_script, start_script
from tests.helpers.rays import kill_tree, ray_head

OPEN = {"RAY_AUTH_MODE": "disabled"}
ITS_OWN = (3, 1)  # logical CPUs and GPUs of a running Ray, unlike this machine's
GOES_ON = "recorded runs are kept, and the same command continues from there,"
ELSEWHERE = "with --address local or once the cluster is back"

ONE_AT_A_TIME = ("torch", "--seeds", 2, "--epochs", 5, "--limit-train", 640, "--threads", 2, "--device", "cpu")


WATCHING = """
import pathlib, sys, threading
from cluster import session
session.HEAD_POLL_SECONDS = 0.1
left = threading.Event()
watched = sys.argv[1], [], left, pathlib.Path(sys.argv[2])
watch = threading.Thread(target=session._watch, args=watched, daemon=True)
watch.start()
print("watching", flush=True)
if sys.stdin.readline():
    left.set()
    watch.join()
    print("left")
"""


@pytest.mark.parametrize("leaves", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_a_driver_whose_head_answers_no_more_is_ended_unless_it_has_left(leaves: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        head = f"127.0.0.1:{listening.getsockname()[1]}"
        last_words = tmp_path / LAST_WORDS
        driver = subprocess.Popen(
            [sys.executable, "-c", WATCHING, head, str(last_words)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert driver.stdout is not None
        assert driver.stdin is not None
        assert driver.stdout.readline() == "watching\n"
        if leaves:
            driver.stdin.write("go\n")
            driver.stdin.flush()
            assert driver.stdout.readline() == "left\n"
    assert driver.wait(60) == (0 if leaves else 1)
    assert driver.communicate() == ("", "")
    assert last_words.exists() is not leaves
    assert leaves or last_words.read_text() == f"error: the Ray cluster at {head} is gone; {GOES_ON} {ELSEWHERE}\n"


def kill_raylet(process: psutil.Process) -> None:
    (raylet,) = [child for child in process.children(recursive=True) if child.name() == "raylet"]
    raylet.kill()


@pytest.mark.thorough
@pytest.mark.parametrize("kill", [kill_tree, kill_raylet])
def test_a_study_whose_head_dies_ends_with_a_sentence(kill: Callable[[psutil.Process], None], tmp_path: Path) -> None:
    with ray_head(*ITS_OWN, OPEN) as (address, process):
        study = (*ONE_AT_A_TIME, "--out", tmp_path, "--address", address)
        driver = start_script("compare", *study, RAY_AUTH_MODE="disabled")
        read_until(driver, "seed1  epoch 1/5")  # seed 0 is recorded
        kill(process)
        said = finish(driver)
    assert driver.returncode == 1
    (error,) = [line for line in said.splitlines() if "epoch" not in line]
    assert error.startswith("error: the Ray cluster at ")
    assert error.endswith(f"is gone; {GOES_ON} {ELSEWHERE}")


@pytest.mark.thorough
def test_a_study_whose_head_comes_back_ends_with_a_sentence_and_goes_on_there(tmp_path: Path) -> None:
    with ray_head(*ITS_OWN, TOKEN, hidden=True) as (address, process):
        study = (*ONE_AT_A_TIME, "--out", tmp_path, "--address", address)
        driver = start_script("compare", *study)
        read_until(driver, "seed1  epoch 1/5")
        kill_tree(process)
        with ray_head(*ITS_OWN, TOKEN, hidden=True, port=int(address.split(":")[1])):
            said = finish(driver)
            assert driver.returncode == 1
            assert "Traceback" not in said
            (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
            assert GOES_ON.rstrip(",") in error
            again = run_script("compare", *study)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 run to do" in again.stdout


def test_a_head_that_was_started_anew_is_another_cluster() -> None:
    assert "restarted" in _what_failed(RayError("RPC error: WrongClusterID. Cluster ID mismatch"))


@pytest.mark.thorough
def test_a_study_whose_own_raylet_is_killed_ends_at_once_with_a_sentence(tmp_path: Path) -> None:
    driver = start_script("compare", *ONE_AT_A_TIME, "--out", tmp_path, "--address", "local")
    read_until(driver, "seed0  epoch 1/5")
    kill_raylet(psutil.Process(driver.pid))
    said = finish(driver)
    assert driver.returncode == 1
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert GOES_ON.rstrip(",") in errors[0]
    assert "Traceback" not in said
