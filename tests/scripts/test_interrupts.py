"""Ctrl-C and SIGTERM end every script in one sentence, whenever they come and however many; nothing stays behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.scripts.processes import command, environment, finish, read_until, start_script, wait_until_gone

SENTENCE = "error: interrupted; what is recorded stays, and the same command goes on from there\n"
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("script", "delay"), [("report", 0.2), ("seed_variance", 0.5), ("train", 0.8), ("compare", 1.2)]
)
def test_an_interruption_while_a_script_is_loaded_is_one_sentence(
    script: str, delay: float, number: int, tmp_path: Path
) -> None:
    arguments = {"report": [tmp_path], "seed_variance": [tmp_path], "train": ["torch"], "compare": ["torch"]}[script]
    started = subprocess.Popen(
        command(script, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    )
    time.sleep(delay)
    for _ in range(3):
        started.send_signal(number)
    said, _ = started.communicate(timeout=60)
    assert (said, started.returncode) == (SENTENCE, 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
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


def test_an_interruption_that_comes_where_nothing_can_be_raised_comes_again() -> None:
    started = subprocess.Popen(
        [sys.executable, "-c", LOSES_ONE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "there\n"
    time.sleep(0.5)
    started.send_signal(signal.SIGTERM)
    said, _ = started.communicate(timeout=30)
    assert (said, started.returncode) == (SENTENCE, 130)
