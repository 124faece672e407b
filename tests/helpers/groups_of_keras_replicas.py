"""Groups of Keras replicas, one after the other, each in as many processes of this machine as its strategy has.

Usage: python groups_of_keras_replicas.py FOLDER TEST_IMAGES RUNS_AS_JSON

RUNS_AS_JSON has, by contender, pairs of a break and a spec. A break is none or one of BREAKS: what to do wrongly. Each
process leaves its outcome, the weights after the last step, what it wrote and, of a native run, the images of each
batch that each of its replicas trained on in FOLDER/CONTENDER.NUMBER.RANK.pickle.
"""

import json
import os
import pickle
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from lenet import data
from runners.core.clock import Stopwatch
from runners.core.runner import load_inspector, load_runner
from runners.core.spec import Contender, RunSpec


def same_weight(losses: Any, _size: Any) -> Any:
    """As Keras's own fit has it: the mean of the replicas' means."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses) * replicas, losses.dtype))


def own_sums(loop: Any) -> tuple[float, float]:
    """Of one replica's images alone."""
    loss, right, images = loop.used.experimental_local_results(loop.sums)[0].numpy().tolist()
    loop.sums.assign(tf.zeros(3, tf.float64))
    return loss / images, right / images


def padded(whole: Any, rank: Any, replicas: int) -> Any:
    """Parts of one size, so that some images are in two."""
    images = tf.shape(whole, tf.int64)[0]
    size = -(-images // replicas)
    first = tf.minimum(rank * size, images - size)
    return whole[first : first + size]


def floored(whole: Any, rank: Any, replicas: int) -> Any:
    """Parts of one size, so that some images are in none."""
    size = tf.shape(whole, tf.int64)[0] // replicas
    return whole[rank * size : (rank + 1) * size]


def strided(whole: Any, rank: Any, replicas: int) -> Any:
    """Every second or third; fine for training, but predictions come out of order."""
    return whole[rank::replicas]


BREAKS: dict[str, tuple[str, Callable[..., Any]]] = {
    "shares weigh the same": ("share_of_mean", same_weight),
    "sums stay apart": ("Loop.means", own_sums),
    "shares overlap": ("share", padded),
    "shares leave images out": ("share", floored),
    "shares are strided": ("share", strided),
}


def noting(seen: list[np.ndarray]) -> Callable[..., Any]:
    """Loop.logits that notes the images which each replica trains on, as they are in the data: uint8 (n, 28, 28)."""
    from runners.keras.replicas import Loop

    plain = Loop.logits

    def note(images: np.ndarray) -> np.int64:
        seen.append((images[..., 0] * 255).round().astype(np.uint8))
        return np.int64(0)

    def logits(loop: Any, images: Any, training: bool) -> Any:
        if training:
            tf.numpy_function(note, [images], tf.int64)
        return plain(loop, images, training)

    return logits


@contextmanager
def broken(name: str) -> Iterator[None]:
    with ExitStack() as stack:
        if name != "none":
            where, wrong = BREAKS[name]
            stack.enter_context(mock.patch(f"runners.keras.replicas.{where}", wrong))
        yield


@contextmanager
def noted(seen: list[np.ndarray], spec: RunSpec) -> Iterator[None]:
    """Of a native run; in the others it is seen in the weights."""
    with ExitStack() as stack:
        if spec.track == "native":
            stack.enter_context(mock.patch("runners.keras.replicas.Loop.logits", noting(seen)))
        yield


def processes(contender: Contender) -> int:
    return contender.replicas if contender.strategy == "multiworker" else 1


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def replica(folder: Path, name: str, rank: int, addresses: list[str], runs: list[tuple[str, str]]) -> None:
    """Do the runs as one of the processes."""
    if Contender.model_validate(name).strategy == "multiworker":
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    for number, (break_name, text) in enumerate(runs):
        spec, weights, told, seen = RunSpec.model_validate_json(text), [], [], []
        with tempfile.TemporaryDirectory() as scratch, broken(break_name), noted(seen, spec):
            few = images.first(spec.limit_train)
            outcome = runner.train(spec, few, Stopwatch(), told.append, Path(scratch), weights.append)
            written = sorted(path.name for path in Path(scratch).iterdir())
        looks = break_name == "none" and spec.epochs == 1
        inspector = load_inspector("keras", "matched", spec.contender.strategy)
        fed = inspector.inspect_run(spec, few, few.test_images[:1]).fed if looks else ()
        steps = {"weights": weights[-1], "steps": len(weights), "seen": seen}
        left = {"outcome": outcome, "written": written, "fed": fed, **steps}
        (folder / f"{name}.{number}.{rank}.pickle").write_bytes(pickle.dumps(left))


def main(folder: Path, runs_by_contender: dict[str, list[tuple[str, str]]]) -> None:
    forking = get_context("fork")  # they need not import TensorFlow again, whose runtime has not started yet
    for name, runs in runs_by_contender.items():
        addresses = free_addresses(processes(Contender.model_validate(name)))
        group = [
            forking.Process(target=replica, args=(folder, name, rank, addresses, runs))
            for rank in range(len(addresses))
        ]
        for process in group:
            process.start()
        for process in group:
            process.join()
        if any(process.exitcode for process in group):
            raise SystemExit(1)


if __name__ == "__main__":
    runner = load_runner("keras", "matched")
    import tensorflow as tf

    whole, tests = data.load(), int(sys.argv[2])
    images = replace(whole, test_images=whole.test_images[:tests], test_labels=whole.test_labels[:tests])
    main(Path(sys.argv[1]), json.loads(sys.argv[3]))
