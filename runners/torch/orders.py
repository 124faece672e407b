"""The orders in which PyTorch's own shuffling feeds a native run."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler


class NotedSampler(Sampler[int]):
    """Another sampler, each of whose orders is noted as it is drawn."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.orders: list[list[int]] = []

    def __iter__(self) -> Iterator[int]:
        self.orders.append(list(self.sampler))
        return iter(self.orders[-1])

    def __len__(self) -> int:
        return len(self.sampler)


def noted_orders(loader: DataLoader[Any]) -> list[list[int]]:
    """From now on, note each order in which the loader goes through its images, one an epoch; the orders so far."""
    batches: Any = loader.batch_sampler
    batches.sampler = noted = NotedSampler(batches.sampler)
    return noted.orders
