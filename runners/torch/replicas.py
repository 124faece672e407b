"""Training on several replicas with DistributedDataParallel: each replica's share of each batch, and sums over all.

The caller sets up the process group. Without a group there is a single replica, whose share is the whole batch.
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
    """Return the number of replicas, each a process; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this replica's number, from 0; the first replica reports and writes."""
    return dist.get_rank() if replicas() > 1 else 0


def check_group(contender: Contender) -> None:
    """Raise RuntimeError if the number of replicas is not the contender's."""
    if replicas() != contender.replicas:
        raise RuntimeError(f"{contender} trains in {contender.replicas} processes together, and here are {replicas()}")


def replica(model: nn.Module) -> nn.Module:
    """Return the model for training: gradients are averaged over all replicas, which start with rank 0's weights.

    DistributedDataParallel gets no device argument: it uses the model's device.
    """
    if replicas() == 1:
        return model
    wrapped = DistributedDataParallel(model)
    wrapped._set_ddp_runtime_logging_sample_rate(_timed_every(model))
    return wrapped


def share(whole: Whole) -> Whole:
    """Return this replica's contiguous share, as equal as possible, as `np.array_split` does."""
    size, larger = divmod(len(whole), replicas())
    first = rank() * size + min(rank(), larger)
    return whole[first : first + size + (rank() < larger)]


def share_weights(images: int, batch_size: int, device: torch.device) -> Iterable[Tensor | None]:
    """Return for each batch of an epoch the weight of this replica's mean loss; None, which is 1, for one replica.

    DistributedDataParallel gives all replicas' gradients the same weight, so a replica with k of a batch's n images
    multiplies its loss by replicas * k / n.
    """
    if replicas() == 1:
        return repeat(None)
    batches = (range(images)[first : first + batch_size] for first in range(0, images, batch_size))
    return [torch.tensor(replicas() * len(share(batch)) / len(batch), device=device) for batch in batches]


def native_batches(spec: RunSpec, dataset: Dataset[tuple[Tensor, Tensor]]) -> Iterator[Any]:
    """Return each epoch's batches as in the documentation: a DistributedSampler draws each replica's share.

    A replica's batch is its share of the global batch. The sampler repeats images if their number is not divisible.
    """
    sampler: DistributedSampler[tuple[Tensor, Tensor]] = DistributedSampler(dataset, seed=spec.seed)
    loader = DataLoader(dataset, spec.batch_size // replicas(), sampler=sampler)
    for epoch in range(spec.epochs):
        sampler.set_epoch(epoch)
        yield loader


def summed(*values: Tensor) -> list[float]:
    """Return scalars summed over all replicas, in float64. They must be on the model's device, as NCCL requires."""
    sums = torch.stack([value.double() for value in values])
    if replicas() > 1:
        dist.all_reduce(sums)
    return sums.tolist()


def gathered(part: np.ndarray) -> np.ndarray:
    """Return all replicas' shares joined in the order of their ranks: the reverse of `share`."""
    return np.concatenate(_from_all(part))


def _from_all(value: Any) -> list[Any]:
    values = [value] * replicas()
    if replicas() > 1:
        dist.all_gather_object(values, value)
    return values


def nodes() -> tuple[str, ...]:
    """Return each process's host name, by rank."""
    return tuple(_from_all(socket.gethostname()))


def facts() -> dict[str, Flag]:
    """Return the process group's facts for the record; empty for a single replica."""
    return {"process_group": dist.get_backend(), "replicas": replicas()} if replicas() > 1 else {}


@dataclass(frozen=True)
class Waited:
    """How long a replica has waited for others since training started, in the timed steps."""

    steps: int
    seconds: float


def waited(model: nn.Module) -> Waited:
    """Return the wait so far, by DistributedDataParallel's own timers.

    They time the first 10 steps and then one step in `_timed_every`, on a GPU by its events. A wait lasts from the end
    of the backward pass's own work until all replicas' gradients are in: communication during the backward pass costs
    nothing, and waiting for a slower replica counts. PyTorch calls this interface a prototype.
    """
    if not isinstance(model, DistributedDataParallel):
        return Waited(0, 0.0)
    timers = model._get_ddp_logging_data()
    steps = steps_timed(timers["iteration"], _timed_every(model))
    if steps == 0:  # a step's timers are read at the start of the next step
        return Waited(0, 0.0)
    nanoseconds = timers["avg_backward_comm_time"] - timers["avg_backward_compute_comm_overlap_time"]
    return Waited(steps, steps * nanoseconds / 1e9)


def steps_timed(last: int, every: int) -> int:
    """Return how many of the steps up to the timed step `last` are timed: the first 10, and multiples of `every`."""
    return min(last, 10) + max(0, last // every - 10 // every)


def _timed_every(model: nn.Module) -> int:
    """Return n if one step in n is timed: all on a CPU, at some 5 us each; few on a GPU, since timing synchronizes."""
    return 100 if next(model.parameters()).is_cuda else 1


def communication_share(
    waits: Sequence[Waited], rows: Sequence[EpochRow], steps: int, device: torch.device
) -> float | None:
    """Return the share of all replicas' training time spent waiting for gradients, from the second epoch on.

    `waits` and `rows` have one entry an epoch, which has `steps` steps on `device`. Returns None for one replica, and
    for one epoch, since the first steps also wait until every replica has warmed up.
    """
    timed = waits[-1].steps - waits[0].steps
    if replicas() == 1 or timed == 0:
        return None
    a_step = (waits[-1].seconds - waits[0].seconds) / timed
    later = rows[1:]
    seconds = (a_step * steps * len(later), sum(row.train_seconds for row in later))
    waited_for, trained = summed(*torch.tensor(seconds, device=device))
    return waited_for / trained
