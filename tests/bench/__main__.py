"""`make bench`: the training time of the runners beside the article's scripts, in turn on this machine.

It also measures the report of a big study, which `make bench ARGS=report` does alone.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from runners.core.environment import PROJECT
from runners.core.frameworks import FRAMEWORKS, process_environment
from tests.bench import article, big_report

REPORT = "report"
SCRIPTS = {name: row.script for name, row in FRAMEWORKS.items() if row.script}
# Of the runner's clock, the stages that the scripts have on theirs.
STAGES = ("compile_seconds", "train_seconds", "eval_seconds", "checkpoint_seconds")
# The same callbacks as in the scripts.
CALLBACKS = ("--reduce-lr", "2", "--early-stopping", "3")
COMPARED = """\
Compared: seconds of training (60,000 images, epochs: {epochs}) of the article's script and of one run of compare.py.
The same in both: network, batch size, Adam at 1e-3, callbacks, one thread, the track's environment variables, and what
the seconds hold: first step, training, evaluation after every epoch, checkpoints.
Not the same: the script draws weights and order by itself, and on the matched track has its framework's own Adam and
data feed; the runner also keeps a split clock and reports every epoch, and Ray's idle processes are on the machine.
"""


def main() -> None:
    """Print the seconds of both and their ratio, for each framework, track and round; exit 1 for a report too big."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("frameworks", nargs="*", default=[*SCRIPTS, REPORT], metavar="|".join([*SCRIPTS, REPORT]))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=2)
    chosen = options.parse_args()
    too_much = big_report.measure() if REPORT in chosen.frameworks else []
    if frameworks := [name for name in chosen.frameworks if name != REPORT]:
        print(COMPARED.format(epochs=chosen.epochs))
    for framework in frameworks:
        for track in ("native", "matched"):
            compare(framework, track, chosen.rounds, chosen.epochs)
    if too_much:
        raise SystemExit("; ".join(too_much))


def compare(framework: str, track: str, rounds: int, epochs: int) -> None:
    """Print each round's seconds of script and runner, and the median of the rounds' ratios."""
    ratios = []
    for _ in range(rounds):
        script = script_seconds(framework, track, epochs)
        runner = runner_seconds(framework, track, epochs)
        ratios.append(runner / script)
        seconds = f"{SCRIPTS[framework]} {script:6.2f} s  runner {runner:6.2f} s"
        print(f"{framework:<6}{track:<8} {seconds}  ratio {ratios[-1]:.3f}", flush=True)
    print(f"{framework:<6}{track:<8} median ratio {median(ratios):.3f} of {rounds} rounds", flush=True)


def script_seconds(framework: str, track: str, epochs: int) -> float:
    """Seconds of training that the article's script reports."""
    variables = process_environment(framework, track)
    with tempfile.TemporaryDirectory() as folder:
        printed = article.run(SCRIPTS[framework], Path(folder), epochs, None, **variables)
    return reported_seconds(printed)


def reported_seconds(printed: str) -> float:
    """The seconds in the script's line on how long training took; raises ValueError without exactly one such line."""
    (seconds,) = re.findall(r"^Training took ([\d.]+) s$", printed, re.MULTILINE)
    return float(seconds)


def runner_seconds(framework: str, track: str, epochs: int) -> float:
    """Seconds of training of one run, alone on a Ray of its own."""
    options = ["--track", track, "--seeds", "1", "--epochs", str(epochs), "--address", "local", *CALLBACKS]
    with tempfile.TemporaryDirectory() as out:
        article.output_of([str(PROJECT / "scripts" / "compare.py"), framework, *options, "--out", out])
        (record,) = (Path(out) / "runs").iterdir()
        return training_seconds(json.loads(record.read_text())["clock"])


def training_seconds(clock: Mapping[str, float]) -> float:
    """The seconds of a run's clock that the scripts count as training."""
    return sum(clock[stage] for stage in STAGES)


if __name__ == "__main__":
    main()
