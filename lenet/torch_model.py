"""LeNet-5 in PyTorch, weights in and out."""

import numpy as np
import torch
from torch import Tensor, nn

from lenet.architecture import FLATTEN_SHAPE, Weights, check_weights


class LeNet5(nn.Module):
    """The network with PyTorch's own initialisers: images (batch, 1, 28, 28) in, logits (batch, 10) out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(256, 120)
        self.dense2 = nn.Linear(120, 84)
        self.logits = nn.Linear(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(images)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.relu(self.dense1(x))
        x = torch.relu(self.dense2(x))
        return self.logits(x)


def get_weights(model: nn.Module) -> Weights:
    """The parameters in neutral layout; raises ValueError if they are not the layer table's."""
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.named_parameters()}
    return check_weights({_neutral_name(name): _to_neutral(name, array) for name, array in state.items()})


def set_weights(model: nn.Module, weights: Weights) -> None:
    """Load parameters given in neutral layout."""
    check_weights(weights)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            array = _from_neutral(name, weights[_neutral_name(name)])
            parameter.copy_(torch.from_numpy(np.array(array, order="C")))


def _neutral_name(name: str) -> str:
    layer, kind = name.split(".")
    return f"{layer}/kernel" if kind == "weight" else f"{layer}/bias"


def _to_neutral(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:  # (out, in, height, width)
        return array.transpose(2, 3, 1, 0).copy()
    if name == "dense1.weight":  # its columns follow a flattened (channel, height, width) image
        height, width, channels = FLATTEN_SHAPE
        by_channel = array.reshape(-1, channels, height, width)
        return by_channel.transpose(2, 3, 1, 0).reshape(height * width * channels, -1)
    return array.T.copy()


def _from_neutral(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if name == "dense1.weight":
        return array.reshape(*FLATTEN_SHAPE, -1).transpose(3, 2, 0, 1).reshape(array.shape[1], array.shape[0])
    return array.T
