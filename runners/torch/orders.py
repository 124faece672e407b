"""The orders in which PyTorch's own shuffling feeds a native run."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from torch.utils.data import RandomSampler, Sampler


class NotedSampler(Sampler[int]):
    """Another sampler, each of whose orders is noted as it is drawn."""

    def __init__(self, sampler: RandomSampler) -> None:
        self.sampler = sampler
        self.orders: list[list[int]] = []

    def __iter__(self) -> Iterator[int]:
        self.orders.append(list(self.sampler))
        return iter(self.orders[-1])

    def __len__(self) -> int:
        return len(self.sampler)


def noted_orders(epochs: Iterator[Any]) -> tuple[Iterator[Any], list[list[int]]]:
    """The batches of each epoch as they are, and the order of each epoch as soon as it is drawn.

    Only the orders of a DataLoader that shuffles by itself are noted: each of several replicas has but its share.
    """
    first = next(epochs)
    if not isinstance(first.sampler, RandomSampler):
        return chain([first], epochs), []
    first.batch_sampler.sampler = noted = NotedSampler(first.sampler)
    return chain([first], epochs), noted.orders
