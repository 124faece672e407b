"""Output that cannot be written ends nothing: results are written, and the exit code is about them."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.helpers.processes import command, environment
from tests.runners.report.conftest import make_stub_study

NOBODY = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")  # a user whom no machine lists


SAYS = """
import sys
import tempfile
from pathlib import Path
from scripts import start
start.begin()
print("a first line\\n" + "\u00b1" * 10**6)
Path(sys.argv[1]).write_text("done")
start.leave(0)
"""


def in_shell(redirected: str, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shlex.join(map(str, words))} {redirected}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(**variables),
    )


@pytest.mark.parametrize(
    ("redirected", "stderr"),
    [
        ("| head -1", ""),
        (">&-", ""),
        (">&- 2>&-", ""),
        ("> /dev/full", "warning: output cannot be written (No space left on device)"),
        ("> /dev/full 2> /dev/full", ""),
    ],
)
def test_what_is_done_is_done_whatever_becomes_of_what_is_printed(tmp_path: Path, redirected: str, stderr: str) -> None:
    done = in_shell(redirected, sys.executable, "-c", SAYS, tmp_path / "file")
    assert done.returncode == 0, done.stderr
    assert done.stderr == (f"{stderr}\n" if stderr else "")
    assert (tmp_path / "file").read_text() == "done"


def test_a_tilde_after_an_equals_sign_is_the_home_folder(tmp_path: Path) -> None:
    out = tmp_path / "home" / "x"
    words = command("train", "torch", "--epochs", 1, "--limit-train", 128, "--out=~/x", "--data-dir=~/nothing")
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment(HOME=str(out.parent))
    )
    assert done.returncode == 2
    assert str(out.parent / "nothing") in done.stderr
    assert out.is_dir()
    assert not (tmp_path / "~").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that the machine does not list")
def test_a_user_without_a_home_and_a_name_can_report_in_an_encoding_that_lacks_characters() -> None:
    def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NOBODY, *words], capture_output=True, text=True, check=False, timeout=120, env=variables
        )

    variables = {name: value for name, value in environment(PYTHONIOENCODING="ascii").items() if name != "HOME"}
    done = as_nobody(*command("train", "torch", "--epochs", 1, "--out=~/x"))
    assert done.returncode == 2
    assert done.stderr == (
        "error: '--out=~/x' names a home folder, but this user's is unknown; set HOME, or write the path in full\n"
    )
    with tempfile.TemporaryDirectory() as ours:  # pytest's own folders are closed to others
        shared = make_stub_study(Path(ours) / "shared")
        for path in [Path(ours), shared, *shared.rglob("*")]:
            path.chmod(0o777)
        done = as_nobody(*command("report", shared))
        assert (shared / "report.html").stat().st_size > 10_000
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\d \? \d", done.stdout), "the plus-minus sign"
