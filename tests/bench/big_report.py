"""What the report of a big study costs: 10,000 made-up records of 13 epochs, two contenders on two tracks."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.runners.report.conftest import make_stub_study

PROJECT = Path(__file__).resolve().parents[2]
SEEDS, EPOCHS, CORES = 2500, 13, 2
SECONDS, GIBIBYTES, MEGABYTES = 60, 2, 5  # limits; the seconds are only printed, because machines differ


def measure() -> list[str]:
    """Time scripts/report.py on at most two cores; print seconds, memory and page size; return what is too much."""
    with tempfile.TemporaryDirectory() as out:
        folder = make_stub_study(Path(out), seeds=range(SEEDS), epochs=EPOCHS, tracks=("matched", "native"))
        records = len(list((folder / "runs").iterdir()))
        cores = sorted(os.sched_getaffinity(0))[:CORES]
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, str(PROJECT / "scripts" / "report.py"), str(folder)],
            check=True,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        seconds = time.perf_counter() - begun
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest child, in KiB on Linux
        megabytes = (folder / "report.html").stat().st_size / 1e6
    print(
        f"report of {records:,} records of {EPOCHS} epochs on {len(cores)} core(s): {seconds:.1f} s (limit {SECONDS}), "
        f"{memory:.2f} GiB (limit {GIBIBYTES}), report.html {megabytes:.2f} MB (limit {MEGABYTES})",
        flush=True,
    )
    return too_much(memory, megabytes)


def too_much(gibibytes: float, megabytes: float) -> list[str]:
    """Return a sentence for each limit that the report exceeds."""
    sentences = []
    if gibibytes > GIBIBYTES:
        sentences.append(f"the report took {gibibytes:.2f} GiB, more than {GIBIBYTES}")
    if megabytes > MEGABYTES:
        sentences.append(f"report.html has {megabytes:.2f} MB, more than {MEGABYTES}")
    return sentences
