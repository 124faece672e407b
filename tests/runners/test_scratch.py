"""A scratch folder goes with its process, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

from runners.scratch import scratch
from tests.ray_heads import wait_for

KILLED = """
import os, sys
from runners.scratch import LAST_WORDS, scratch
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
