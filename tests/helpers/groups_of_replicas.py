"""Groups of replicas, one after the other, each a gloo process group of this machine that does production runs.

Usage: python groups_of_replicas.py FOLDER TEST_IMAGES RUNS_AS_JSON

RUNS_AS_JSON has, by number of replicas, pairs of a break and a spec. A break is none or one of BREAKS: what to do
wrongly. Each replica leaves its outcome, the weights after the last step, what it wrote and the images of each batch
that it trained on in FOLDER/REPLICAS.NUMBER.RANK.pickle.
"""

import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch.distributed as dist
from torch import nn

from lenet import data
from lenet.torch_model import LeNet5
from runners.core.clock import Stopwatch
from runners.core.runner import load_runner
from runners.core.spec import RunSpec
from runners.torch import replicas as torch_ddp


def strided_for_images(whole: Any) -> Any:
    """Every second or third; fine for training, but predictions come out of order."""
    return whole[torch_ddp.rank() :: torch_ddp.replicas()]


def padded(whole: Any) -> Any:
    """Parts of one size, so that some images are in two."""
    size = -(-len(whole) // torch_ddp.replicas())
    first = min(torch_ddp.rank() * size, len(whole) - size)
    return whole[first : first + size]


def floored(whole: Any) -> Any:
    """Parts of one size, so that some images are in none."""
    size = len(whole) // torch_ddp.replicas()
    return whole[torch_ddp.rank() * size :][:size]


SECONDS = 0.03


def dawdling(model: Any) -> Any:
    """The first replica sleeps before each of its steps, and the others wait for it."""
    wrapped = REPLICA(model)
    if torch_ddp.rank() == 0:
        wrapped.register_forward_pre_hook(lambda *_: time.sleep(SECONDS))
    return wrapped


REPLICA = torch_ddp.replica
BREAKS: dict[str, tuple[str, Callable[..., Any]]] = {
    "shares weigh the same": ("share_weights", lambda *_: repeat(None)),
    "gradients stay apart": ("replica", lambda model: model),
    "sums stay apart": ("summed", lambda *values: [value.item() for value in values]),
    "shares overlap": ("share", padded),
    "shares leave images out": ("share", floored),
    "shares are strided": ("share", strided_for_images),
    "the first is slow": ("replica", dawdling),
}


@contextmanager
def noted(seen: list[np.ndarray]) -> Iterator[None]:
    """Note the images of each batch that the network is trained on, as they are in the data: uint8 (n, 28, 28)."""

    def note(model: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(model, LeNet5) and model.training:
            seen.append((arguments[0][:, 0] * 255).round().byte().numpy())

    with nn.modules.module.register_module_forward_pre_hook(note):
        yield


@contextmanager
def broken(name: str) -> Iterator[None]:
    if name == "none":
        yield
        return
    with mock.patch.object(torch_ddp, *BREAKS[name]):
        yield


def replica(folder: Path, rank: int, replicas: int, images: data.FashionMnist, runs: list[tuple[str, str]]) -> None:
    """Do the runs as one of the replicas."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/group{replicas}", rank=rank, world_size=replicas)
    for number, (name, text) in enumerate(runs):
        spec, weights, told, seen = RunSpec.model_validate_json(text), [], [], []
        with tempfile.TemporaryDirectory() as scratch, broken(name), noted(seen):
            few = images.first(spec.limit_train)
            outcome = runner.train(spec, few, Stopwatch(), told.append, Path(scratch), weights.append)
            written = sorted(path.name for path in Path(scratch).iterdir())
        left = {"outcome": outcome, "weights": weights[-1], "steps": len(weights), "written": written, "seen": seen}
        (folder / f"{replicas}.{number}.{rank}.pickle").write_bytes(pickle.dumps(left))
    dist.destroy_process_group()


def main(folder: Path, tests: int, runs_by_replicas: dict[str, list[tuple[str, str]]]) -> None:
    whole = data.load()
    images = replace(whole, test_images=whole.test_images[:tests], test_labels=whole.test_labels[:tests])
    forking = get_context("fork")  # they need not import PyTorch again
    for replicas, runs in runs_by_replicas.items():
        group = [
            forking.Process(target=replica, args=(folder, rank, int(replicas), images, runs))
            for rank in range(int(replicas))
        ]
        for process in group:
            process.start()
        for process in group:
            process.join()
        if any(process.exitcode for process in group):
            raise SystemExit(1)


if __name__ == "__main__":
    runner = load_runner("torch", "matched")
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
