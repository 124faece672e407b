"""PyTorch's part of tests.helpers.replicas: a gloo process group, what its replicas see, and what can be done wrong."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import nn

from lenet.torch_model import LeNet5
from runners.core.spec import RunSpec
from runners.torch import replicas as torch_ddp
from tests.helpers import SLEEP_SECONDS


def strided(whole: Any) -> Any:
    """Every second image; fine for training, but predictions come out of order."""
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


REPLICA = torch_ddp.replica


def slow(model: Any) -> Any:
    """The first replica sleeps before each of its steps, and the others wait for it."""
    wrapped = REPLICA(model)
    if torch_ddp.rank() == 0:
        wrapped.register_forward_pre_hook(lambda *_: time.sleep(SLEEP_SECONDS))
    return wrapped


BREAKS: dict[str, tuple[str, Callable[..., Any]]] = {
    "shares weigh the same": ("share_weights", lambda *_: repeat(None)),
    "gradients stay apart": ("replica", lambda model: model),
    "sums stay apart": ("summed", lambda *values: [value.item() for value in values]),
    "shares overlap": ("share", padded),
    "shares leave images out": ("share", floored),
    "shares are strided": ("share", strided),
    "the first is slow": ("replica", slow),
}


@contextmanager
def noted(seen: list[np.ndarray], spec: RunSpec) -> Iterator[None]:
    """Note the images of each batch that the network is trained on, as they are in the data: uint8 (n, 28, 28)."""

    def note(model: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(model, LeNet5) and model.training:
            seen.append((arguments[0][:, 0] * 255).round().byte().numpy())

    with nn.modules.module.register_module_forward_pre_hook(note):
        yield


def join(rank: int, addresses: list[str]) -> None:
    """Make this process one of a group; a single one needs none."""
    if len(addresses) > 1:
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = addresses[0].split(":")
        dist.init_process_group("gloo", rank=rank, world_size=len(addresses))
