"""Runs the article's two scripts with fewer epochs, or on fewer images."""

import os
import subprocess
import sys
from pathlib import Path

from runners.core.environment import PROJECT

SCRIPTS = PROJECT / "scripts"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def run(script: str, folder: Path, epochs: int, images: int | None = None, **variables: str) -> str:
    """Run a copy of scripts/`script` in `folder` on one thread and return what it prints.

    `images` is the number of training images, by default all; `variables` are added to the environment. Ends this
    process with the script's output if the script fails.
    """
    source = replaced((SCRIPTS / script).read_text(), "EPOCHS = 13\n", f"EPOCHS = {epochs}\n")
    if images is not None:
        source = replaced(source, "data = load()\n", f"data = load().first({images})\n")
    copy = folder / script
    copy.write_text(source)
    # The copy finds the same modules as the script does in its own folder.
    return output_of([str(copy)], folder, PYTHONPATH=str(SCRIPTS), **ONE_THREAD, **variables)


def replaced(source: str, old: str, new: str) -> str:
    """Return `source` with its only `old` replaced; raise ValueError if it is not there exactly once."""
    if source.count(old) != 1:
        raise ValueError(f"{old!r} is {source.count(old)} times in the script, not once")
    return source.replace(old, new)


def output_of(command: list[str], folder: Path = PROJECT, **variables: str) -> str:
    """Run a Python script in `folder` and return what it prints; its errors are shown only if it fails."""
    environment = os.environ | variables
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
