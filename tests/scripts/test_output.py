"""Output that cannot be written ends nothing: results are written, and the exit code is about them."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.helpers.processes import command, environment
from tests.runners.report.conftest import make_stub_study

NOBODY = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")  # a user whom no machine lists


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stub_study(tmp_path_factory.mktemp("study"))


def in_shell(redirected: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    words = shlex.join(command("report", *arguments))
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} {redirected}"],
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
def test_a_report_is_made_whatever_becomes_of_what_is_printed(folder: Path, redirected: str, stderr: str) -> None:
    page = folder / "report.html"
    page.unlink(missing_ok=True)
    done = in_shell(redirected, folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (f"{stderr}\n" if stderr else "")
    assert page.stat().st_size > 10_000


def test_characters_that_the_encoding_lacks_are_replaced(folder: Path) -> None:
    done = in_shell("", folder, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean ? SD" in done.stdout


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
def test_a_user_without_a_home_and_a_name_can_report(folder: Path, tmp_path: Path) -> None:
    variables = {name: value for name, value in environment().items() if name != "HOME"}
    done = subprocess.run(
        [*NOBODY, *command("train", "torch", "--epochs", 1, "--out=~/x")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=variables,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: '--out=~/x' names a home folder, but this user's is unknown; set HOME, or write the path in full\n"
    )
    shared = tmp_path / "shared"
    subprocess.run(["cp", "-r", str(folder), str(shared)], check=True)
    for path in [tmp_path, *tmp_path.parents[:3], shared, *shared.rglob("*")]:
        path.chmod(0o777)
    done = subprocess.run(
        [*NOBODY, *command("report", shared)], capture_output=True, text=True, check=False, timeout=120, env=variables
    )
    assert (done.returncode, done.stderr) == (0, "")
