"""A scratch folder goes with its process, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runners.core.scratch import scratch
from tests.helpers.rays import wait_for

KILLED = """
import os, sys
from runners.core.scratch import LAST_WORDS, scratch
with scratch() as folder:
    (folder / LAST_WORDS).write_text("it was killed\\n")
    print(folder, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_scratch_folder_is_gone_after_its_context(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "some").write_text("thing")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_scratch_folder_and_its_last_words_are_said() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == "it was killed\n"
    wait_for(lambda: not Path(done.stdout.strip()).exists(), seconds=10)


HOLDS = "import sys, time; file = open(sys.argv[1], 'w'); print(flush=True); time.sleep(60)"


def test_after_an_exception_whoever_uses_the_folder_ends_with_it_but_for_its_owner(tmp_path: Path) -> None:
    users = []

    def fail() -> None:
        with scratch(tmp_path) as folder, (folder / "ours").open("w"):
            user = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder / "log")], stdout=subprocess.PIPE)
            users.append(user)
            assert user.stdout is not None
            user.stdout.readline()
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    (user,) = users
    assert user.wait(10) == -signal.SIGKILL
    user.communicate()
    wait_for(lambda: list(tmp_path.iterdir()) == [], seconds=10)
