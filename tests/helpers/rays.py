"""Rays of this machine as `ray start --head` makes them, for tests that join one."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))


@contextmanager
def ray_head(
    cpus: int, gpus: int, variables: Mapping[str, str], hidden: bool = False, port: int = 0
) -> Iterator[tuple[str, psutil.Process]]:
    """One with so many logical CPUs and GPUs and these variables: its address, at a free port, and its process.

    One that is `hidden` leaves its address where no other program looks for it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = port or free.getsockname()[1]
    # pytest's own folders have names too long for Ray's sockets.
    own = Path(tempfile.mkdtemp(prefix="lf-")) if hidden else Path("/tmp")
    command = [RAY, "start", "--head", "--block", f"--port={port}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
    command += ["--include-dashboard=false", "--disable-usage-stats"]
    log, environment = subprocess.DEVNULL, os.environ | dict(variables) | ({"RAY_TMPDIR": str(own)} if hidden else {})
    process = psutil.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_for(lambda: address_left_in(own).endswith(f":{port}"))
        yield f"127.0.0.1:{port}", process
    finally:
        kill_tree(process)
        if hidden:
            shutil.rmtree(own)


def address_left_in(folder: Path = Path("/tmp")) -> str:
    """What the last `ray start` left there."""
    file = folder / "ray" / "ray_current_cluster"
    return file.read_text() if file.exists() else ""


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def kill_tree(process: psutil.Process) -> None:
    tree = [*process.children(recursive=True), process] if process.is_running() else []
    for member in tree:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(tree, timeout=30)
