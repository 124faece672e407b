"""`make bench`: what the runners cost against bare scripts of the same recipe without Ray, in turn on this machine.

And what the report of a big study costs, which `make bench ARGS=report` tells alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from runners.core.frameworks import process_environment
from tests.bench import big_report

REPORT = "report"
PROJECT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print, for each framework, seconds per epoch of both and the ratio of each round; exit 1 for a report too big."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("frameworks", nargs="*", default=["keras", "torch", REPORT], metavar="keras|torch|report")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=2)
    chosen = options.parse_args()
    too_much = big_report.measure() if REPORT in chosen.frameworks else []
    for framework in (name for name in chosen.frameworks if name != REPORT):
        for track in ("native", "matched"):
            ratios = []
            for _ in range(chosen.rounds):
                bare = bare_seconds(framework, track, chosen.epochs)
                ours = runner_seconds(framework, track, chosen.epochs)
                ratios.append(ours / bare)
                print(
                    f"{framework:<6}{track:<8} bare {bare:5.2f} s/epoch  runner {ours:5.2f}  ratio {ratios[-1]:.3f}",
                    flush=True,
                )
            print(f"{framework:<6}{track:<8} median ratio {median(ratios):.3f} of {chosen.rounds} rounds", flush=True)
    if too_much:
        raise SystemExit("; ".join(too_much))


def bare_seconds(framework: str, track: str, epochs: int) -> float:
    """Seconds per epoch of the bare script, with the libraries that the track's runs compute with."""
    script = [str(PROJECT / "tests" / "bench" / f"bare_{framework}.py"), str(epochs)]
    return float(output_of(script, **process_environment(framework, track)))


def runner_seconds(framework: str, track: str, epochs: int) -> float:
    """Seconds per epoch of the runner, alone on a Ray of its own."""
    with tempfile.TemporaryDirectory() as out:
        study = [
            framework,
            "--track",
            track,
            "--seeds",
            "1",
            "--epochs",
            str(epochs),
            "--address",
            "local",
            "--out",
            out,
        ]
        output_of([str(PROJECT / "scripts" / "compare.py"), *study])
        (record,) = (Path(out) / "runs").iterdir()
        return float(json.loads(record.read_text())["clock"]["train_seconds"]) / epochs


def output_of(command: list[str], **variables: str) -> str:
    """Run a Python script to its end and return what it printed; what it complained of is shown only if it fails."""
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, check=False, text=True, env=os.environ | variables
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
