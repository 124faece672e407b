"""Groups of replicas, one after the other, each in as many processes of this machine as its strategy has.

Usage: python -m tests.helpers.replicas FRAMEWORK FOLDER TEST_IMAGES RUNS_AS_JSON

RUNS_AS_JSON has, by contender, pairs of a break and a spec. A break is "none", or what a framework's BREAKS name: what
to do wrongly. Each process leaves its outcome, the weights after the last step, what it wrote, the images that the
audit is shown, and those of each batch that it trained on, in FOLDER/CONTENDER.NUMBER.RANK.pickle.
"""

import importlib
import json
import pickle
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from lenet import data
from lenet.network import Weights
from runners.core.clock import Stopwatch
from runners.core.frameworks import strategy_of
from runners.core.runner import Outcome, load_inspector, load_runner
from runners.core.spec import Contender, RunSpec

FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate")
Runs = list[tuple[str, str]]  # breaks, and specs as JSON


@dataclass(frozen=True)
class Left:
    """What one process left of one run."""

    outcome: Outcome
    weights: Weights  # after the last step
    steps: int
    written: list[str]  # names of files
    fed: tuple[tuple[np.ndarray, np.ndarray], ...]  # images and labels that the audit is shown
    seen: list[np.ndarray]  # images of each batch, uint8 (n, 28, 28)


def processes(contender: str) -> int:
    """How many processes the contender's replicas have."""
    named = Contender.model_validate(contender)
    return named.replicas if strategy_of(named.framework, named.strategy).trainer else 1


def apart(one: Left, other: Left) -> dict[str, float]:
    """How far two runs are apart, in each respect."""
    size = np.linalg.norm
    weights = [float(size(other.weights[name] - array) / size(array)) for name, array in one.weights.items()]
    pairs = list(zip(one.outcome.epochs, other.outcome.epochs, strict=True))
    figures = {name: max(abs(getattr(b, name) / getattr(a, name) - 1) for a, b in pairs) for name in FIGURES}
    differ = not np.array_equal(one.outcome.predictions, other.outcome.predictions)
    return {"weights": max(weights), **figures, "predictions": float(differ)}


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def replica(folder: Path, name: str, rank: int, addresses: list[str], images: data.FashionMnist, runs: Runs) -> None:
    """Do the runs as one of the contender's processes."""
    framework = Contender.model_validate(name).framework
    importlib.import_module(f"tests.helpers.{framework}_replicas").join(rank, addresses)
    for number, (wrong, text) in enumerate(runs):
        with broken(framework, wrong):
            left = train(RunSpec.model_validate_json(text), images, looks=wrong == "none")
        (folder / f"{name}.{number}.{rank}.pickle").write_bytes(pickle.dumps(left))


@contextmanager
def broken(framework: str, name: str) -> Iterator[None]:
    if name == "none":
        yield
        return
    where, wrong = importlib.import_module(f"tests.helpers.{framework}_replicas").BREAKS[name]
    with mock.patch(f"runners.{framework}.replicas.{where}", wrong):
        yield


def train(spec: RunSpec, images: data.FashionMnist, looks: bool) -> Left:
    framework, strategy = spec.contender.framework, spec.contender.strategy
    module = importlib.import_module(f"tests.helpers.{framework}_replicas")
    runner, inspector = load_runner(framework, "matched", strategy), load_inspector(framework, "matched", strategy)
    few = images.first(spec.limit_train)
    weights: list[Any] = []
    seen: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as scratch, module.noted(seen, spec):
        outcome = runner.train(spec, few, Stopwatch(), lambda _: None, Path(scratch), weights.append)
        written = sorted(path.name for path in Path(scratch).iterdir())
    shown = looks and spec.track == "matched" and spec.epochs == 1
    fed = inspector.inspect_run(spec, few, few.test_images[:1]).fed if shown else ()
    return Left(outcome, weights[-1], len(weights), written, fed, seen)


def main(framework: str, folder: Path, tests: int, runs_by_contender: dict[str, Runs]) -> None:
    load_runner(framework, "matched")
    whole = data.load()
    images = whole.first(len(whole.train_labels), tests)
    forking = get_context("fork")  # they need not import the framework again
    for name, runs in runs_by_contender.items():
        addresses = free_addresses(processes(name))
        group = [
            forking.Process(target=replica, args=(folder, name, rank, addresses, images, runs))
            for rank in range(len(addresses))
        ]
        for process in group:
            process.start()
        for process in group:
            process.join()
        if any(process.exitcode for process in group):
            raise SystemExit(1)


if __name__ == "__main__":
    from tests.helpers import replicas  # what is pickled belongs to the module, not to __main__

    replicas.main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
