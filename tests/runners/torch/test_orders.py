"""Noting PyTorch's orders shows what it feeds, and changes nothing."""

import torch
from torch.utils.data import DataLoader, TensorDataset

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
    noted = loader()
    orders = noted_orders(noted)
    assert [fed_by(noted), fed_by(noted)] == unnoted == orders
    assert orders[0] != orders[1]
    assert len(noted) == 10
