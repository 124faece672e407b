"""The orders in which PyTorch's own shuffling feeds a native run."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from torch.utils.data import RandomSampler, Sampler

from runners.core.draws import orders_sha256


class NotedSampler(Sampler[int]):
    """Another sampler; of each of its orders the SHA-256 is noted as it is drawn, and none is kept."""

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
    """The batches of each epoch as they are, and the SHA-256 of each epoch's order as soon as it is drawn.

    Only the orders of a DataLoader that shuffles by itself are noted: each of several replicas has but its share.
    """
    first = next(epochs)
    if not isinstance(first.sampler, RandomSampler):
        return chain([first], epochs), []
    first.batch_sampler.sampler = noted = NotedSampler(first.sampler)
    return chain([first], epochs), noted.orders
