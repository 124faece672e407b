"""Ctrl-C and SIGTERM end every script in one sentence, whenever they come and however many; nothing stays behind."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers.processes import command, environment, finish, read_until, start_script, wait_until_gone
from tests.helpers.rays import wait_for

SENTENCE = "error: interrupted; recorded runs are kept, and the same command continues from there\n"
LOSES_ONE = """
import time
from scripts import start
start.begin()
class Loses:
    def __del__(self):
        time.sleep(2)
print("there", flush=True)
loses = Loses()
del loses
time.sleep(60)
"""
HANGS = """
import time
from scripts import start
start.CLEANUP_SECONDS = 1.0
start.begin()
try:
    print("there", flush=True)
    time.sleep(60)
finally:
    try:
        print("cleaning", flush=True)
        time.sleep(1.2)
        print("cleaned", flush=True)
    finally:
        time.sleep(60)
"""
LEAVES = """
import atexit, time
from scripts import start
start.begin()
atexit.register(lambda: (time.sleep(1), print("all done")))
start.leave(3)
print("there", flush=True)
raise SystemExit(3)
"""


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal: of SIGTERM, since its first line has been done."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = re.findall(r"^SigCgt:\t(\w+)$", status, flags=re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    ("script", "delay", "number"),
    [
        ("report", 0.0, signal.SIGINT),
        ("seed_variance", 0.3, signal.SIGTERM),
        ("train", 0.6, signal.SIGINT),
        ("compare", 1.0, signal.SIGTERM),
    ],
)
def test_an_interruption_while_a_script_is_loaded_is_one_sentence(
    script: str, delay: float, number: int, tmp_path: Path
) -> None:
    argument = {"report": tmp_path, "seed_variance": tmp_path}.get(script, "torch")
    started = subprocess.Popen(
        command(script, argument), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    )
    wait_for(lambda: catches(started.pid, signal.SIGTERM))
    time.sleep(delay)
    for _ in range(3):
        started.send_signal(number)
    said, _ = started.communicate(timeout=60)
    assert (said, started.returncode) == (SENTENCE, 130)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.thorough)], ids=lambda number: number.name
)
def test_an_audit_that_is_stopped_leaves_no_process_and_no_scratch_folder(number: int, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    driver = start_script("audit", "keras", "torch", "--quick", "--out", tmp_path / "out", TMPDIR=str(scratch))
    read_until(driver, "Parity audit")
    time.sleep(4)  # TensorFlow is being loaded, or trains already
    children = psutil.Process(driver.pid).children(recursive=True)
    for _ in range(3):
        driver.send_signal(number)
    said = finish(driver)
    assert (said, driver.returncode) == (("", -9) if number == signal.SIGKILL else (SENTENCE, 130))
    assert children
    assert wait_until_gone(children, seconds=10) == []
    deadline = time.monotonic() + 10
    while left := list(scratch.iterdir()):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def program(text: str) -> "subprocess.Popen[str]":
    """A Python process that has said where it is."""
    started = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    read_until(started, "there")
    return started


def test_an_interruption_that_comes_where_nothing_can_be_raised_comes_again() -> None:
    started = program(LOSES_ONE)
    time.sleep(0.5)
    started.send_signal(signal.SIGTERM)
    assert (finish(started), started.returncode) == (SENTENCE, 130)


def test_cleaning_up_is_left_in_peace_but_can_be_ended_once_it_hangs() -> None:
    started = program(HANGS)
    started.send_signal(signal.SIGINT)
    read_until(started, "cleaning")
    for number in (signal.SIGTERM, signal.SIGINT):
        time.sleep(0.1)
        started.send_signal(number)
    read_until(started, "cleaned")
    time.sleep(0.5)  # it may be writing still
    started.send_signal(signal.SIGTERM)
    assert (finish(started), started.returncode) == (SENTENCE, 130)


def test_an_interruption_while_python_shuts_down_spoils_neither_output_nor_exit_code() -> None:
    started = program(LEAVES)
    for number in (signal.SIGINT, signal.SIGTERM):
        time.sleep(0.2)
        started.send_signal(number)
    assert (finish(started), started.returncode) == ("all done\n", 3)
