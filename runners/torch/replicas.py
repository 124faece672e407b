"""What a replica of DistributedDataParallel does beyond the loop: its share of each batch, sums over all replicas.

Who the replicas are is the process group's affair, which whoever starts them has set up. Without one there is a single
replica, whose share is everything.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from runners.core.record import EpochRow, Flag
from runners.core.spec import Contender, RunSpec

Whole = TypeVar("Whole", Tensor, np.ndarray, range)


def replicas() -> int:
    """How many processes train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; the first one reports and writes."""
    return dist.get_rank() if replicas() > 1 else 0


def check_group(contender: Contender) -> None:
    """Raise RuntimeError if this process is not one of as many as the contender has replicas."""
    if replicas() != contender.replicas:
        raise RuntimeError(f"{contender} trains in {contender.replicas} processes together, and here are {replicas()}")


def replica(model: nn.Module) -> nn.Module:
    """The model to call in training: its gradients become the mean of all replicas'. All begin with rank 0's weights.

    DistributedDataParallel is given no device: it takes the model's.
    """
    if replicas() == 1:
        return model
    wrapped = DistributedDataParallel(model)
    wrapped._set_ddp_runtime_logging_sample_rate(_timed_every(model))
    return wrapped


def share(whole: Whole) -> Whole:
    """This replica's contiguous part, as even as possible: that of `np.array_split`."""
    size, larger = divmod(len(whole), replicas())
    first = rank() * size + min(rank(), larger)
    return whole[first : first + size + (rank() < larger)]


def share_weights(images: int, batch_size: int, device: torch.device) -> Iterable[Tensor | None]:
    """For each batch of an epoch, what the mean loss of this replica's share must be multiplied by.

    All replicas' gradients count the same in DistributedDataParallel, so one with k of a batch's n images weighs its
    own by replicas * k / n. None, which is 1, without other replicas.
    """
    if replicas() == 1:
        return repeat(None)
    batches = (range(images)[first : first + batch_size] for first in range(0, images, batch_size))
    return [torch.tensor(replicas() * len(share(batch)) / len(batch), device=device) for batch in batches]


def native_batches(spec: RunSpec, dataset: Dataset[tuple[Tensor, Tensor]]) -> Iterator[Any]:
    """Each epoch's batches as the documentation has them: every replica draws its part with a DistributedSampler.

    The batch of a replica is its part of the global one; the sampler repeats images where their number does not divide.
    """
    sampler: DistributedSampler[tuple[Tensor, Tensor]] = DistributedSampler(dataset, seed=spec.seed)
    loader = DataLoader(dataset, spec.batch_size // replicas(), sampler=sampler)
    for epoch in range(spec.epochs):
        sampler.set_epoch(epoch)
        yield loader


def summed(*values: Tensor) -> list[float]:
    """Scalars added up over all replicas, in float64. They are on the model's device: NCCL takes none that are not."""
    sums = torch.stack([value.double() for value in values])
    if replicas() > 1:
        dist.all_reduce(sums)
    return sums.tolist()


def gathered(part: np.ndarray) -> np.ndarray:
    """All replicas' parts in the order of their ranks: the reverse of `share`."""
    return np.concatenate(_from_all(part))


def nodes() -> tuple[str, ...]:
    """Where each replica is, in the order of their ranks."""
    return tuple(_from_all(socket.gethostname()))


@dataclass(frozen=True)
class Waited:
    """How long a replica has waited for others since it began to train, in the steps that were timed."""

    steps: int
    seconds: float


def waited(model: nn.Module) -> Waited:
    """What DistributedDataParallel's own timers have seen so far.

    They time the first 10 steps and then every so many, on a GPU by its events. A wait is from the end of the backward
    pass's own work until the gradients of all replicas are in: what is exchanged meanwhile costs nothing, and a slower
    replica is waited for too. The interface is one that PyTorch calls a prototype.
    """
    if not isinstance(model, DistributedDataParallel):
        return Waited(0, 0.0)
    told = model._get_ddp_logging_data()
    steps = steps_timed(told["iteration"], _timed_every(model))
    if steps == 0:  # a step is read off at the beginning of the next one
        return Waited(0, 0.0)
    nanoseconds = told["avg_backward_comm_time"] - told["avg_backward_compute_comm_overlap_time"]
    return Waited(steps, steps * nanoseconds / 1e9)


def steps_timed(last: int, every: int) -> int:
    """How many steps have been timed when `last` was the last of them: the first 10, and those that `every` divides."""
    return min(last, 10) + max(0, last // every - 10 // every)


def _timed_every(model: nn.Module) -> int:
    """Of so many steps one is timed: on a CPU all, at some 5 us each; on a GPU few, for a timed step is waited for."""
    return 100 if next(model.parameters()).is_cuda else 1


def communication_share(
    waits: Sequence[Waited], rows: Sequence[EpochRow], steps: int, device: torch.device
) -> float | None:
    """The share of all replicas' training time in which they waited for gradients, from the second epoch on.

    `waits` and `rows` are those after each epoch of so many steps on `device`. None without other replicas, and for one
    epoch alone: its first steps also wait until every replica has warmed up.
    """
    timed = waits[-1].steps - waits[0].steps
    if replicas() == 1 or timed == 0:
        return None
    a_step = (waits[-1].seconds - waits[0].seconds) / timed
    later = rows[1:]
    seconds = (a_step * steps * len(later), sum(row.train_seconds for row in later))
    waited_for, trained = summed(*torch.tensor(seconds, device=device))
    return waited_for / trained


def group_facts() -> dict[str, Flag]:
    """The process group, for the record; nothing without one."""
    return {"process_group": dist.get_backend(), "replicas": replicas()} if replicas() > 1 else {}


def _from_all(value: Any) -> list[Any]:
    values = [value] * replicas()
    if replicas() > 1:
        dist.all_gather_object(values, value)
    return values
