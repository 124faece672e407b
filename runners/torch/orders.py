"""The orders in which PyTorch's own shuffling feeds a native run."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from torch.utils.data import RandomSampler, Sampler

from runners.core.draws import orders_sha256


class NotedSampler(Sampler[int]):
    """Wraps a sampler and notes the SHA-256 of each order as it is drawn. None is kept."""

    def __init__(self, sampler: RandomSampler) -> None:
        self.sampler = sampler
        self.orders: list[str] = []

    def __iter__(self) -> Iterator[int]:
        order = list(self.sampler)
        self.orders.append(orders_sha256(order))
        return iter(order)

    def __len__(self) -> int:
        return len(self.sampler)


def noted_orders(epochs: Iterator[Any]) -> tuple[Iterator[Any], list[str]]:
    """Return each epoch's batches unchanged, and a list that gets the SHA-256 of each order as it is drawn.

    Only a DataLoader that shuffles all images is noted: each of several replicas has only its share.
    """
    first = next(epochs)
    if not isinstance(first.sampler, RandomSampler):
        return chain([first], epochs), []
    first.batch_sampler.sampler = noted = NotedSampler(first.sampler)
    return chain([first], epochs), noted.orders
