"""Noting PyTorch's orders shows what it feeds, and changes nothing."""

from itertools import repeat

import torch
from torch.utils.data import DataLoader, TensorDataset

from runners.core.draws import orders_sha256
from runners.torch.orders import noted_orders

IMAGES = 300


def loader():
    torch.manual_seed(3)
    return DataLoader(TensorDataset(torch.arange(IMAGES)), 32, shuffle=True)


def fed_by(batches):
    return [place.item() for (places,) in batches for place in places]


def test_what_is_noted_is_what_is_fed_in_each_epoch_as_without_noting():
    plain = loader()
    unnoted = [fed_by(plain), fed_by(plain)]
    epochs, orders = noted_orders(repeat(loader(), 2))
    assert [fed_by(batches) for batches in epochs] == unnoted
    assert orders == list(map(orders_sha256, unnoted))
    assert orders[0] != orders[1]


def test_what_does_not_shuffle_by_itself_is_left_alone():
    plain = DataLoader(TensorDataset(torch.arange(IMAGES)), 32)
    epochs, orders = noted_orders(repeat(plain, 2))
    assert [fed_by(batches) for batches in epochs] == [list(range(IMAGES))] * 2
    assert orders == []
