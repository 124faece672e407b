"""Scripts as real processes, and in this one."""

import importlib
import io
import os
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import psutil
import pytest

from cluster.session import lives
from scripts import options

SCRIPTS = Path(options.__file__).parent
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "2" * 64}  # of all Rays that these tests start


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """This process's, with no cluster in sight."""
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | TOKEN | variables


def run_script(name: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=environment(**variables),
    )


def run_here(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The script in this process, which takes no seconds to load: for what needs neither framework nor Ray."""
    command = getattr(importlib.import_module(f"scripts.{name}"), name)
    words = [f"{name}.py", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", words),
        redirect_stdout(io.StringIO()) as stdout,
        redirect_stderr(io.StringIO()) as stderr,
        pytest.raises(SystemExit) as left,
    ):
        options.run_app(command)
    return subprocess.CompletedProcess(words, int(left.value.code or 0), stdout.getvalue(), stderr.getvalue())


def start_script(name: str, *arguments: object, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(name, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(PYTHONUNBUFFERED="1", **variables),
    )


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """What the process says, up to and including the first line with `text`."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} was never said, but:\n{said}")


def finish(process: "subprocess.Popen[str]") -> str:
    """The rest of what the process says."""
    said, _ = process.communicate(timeout=900)
    return said


def workers_of(process: "subprocess.Popen[str]", run_id: str = "") -> list[psutil.Process]:
    """The process's Ray workers in the midst of a run."""
    titles = [(child, " ".join(child.cmdline())) for child in psutil.Process(process.pid).children(recursive=True)]
    return [child for child, title in titles if title.startswith(f"ray::{run_id}") and "-seed" in title]


def wait_until_gone(processes: list[psutil.Process], seconds: float = 90) -> list[psutil.Process]:
    """Those still alive after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        alive = [process for process in processes if lives(process)]
        if not alive:
            return []
        time.sleep(0.2)
    return alive
