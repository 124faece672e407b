"""Read and set PyTorch's parameters in neutral layout, and check its saved files."""

import zipfile
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lenet.network import FLATTEN_SHAPE, Weights, check_weights
from runners.core.errors import BadInput
from runners.core.weights_file import check_size


def get_weights(model: nn.Module) -> Weights:
    """Return the parameters in neutral layout. Raises ValueError if they are not the layer table's."""
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.named_parameters()}
    return check_weights({_neutral_name(name): _to_neutral(name, array) for name, array in state.items()})


def set_weights(model: nn.Module, weights: Weights) -> None:
    """Set parameters from neutral layout. Raises ValueError if either side's are not the layer table's."""
    check_weights(get_weights(model))
    check_weights(weights)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            array = _from_neutral(name, weights[_neutral_name(name)])
            parameter.copy_(torch.from_numpy(np.array(array, order="C")))


def check_file(checkpoint: Path) -> None:
    """Raise BadInput if the ZIP file is too large or compressed. `torch.save` compresses nothing."""
    with zipfile.ZipFile(checkpoint) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadInput("it is compressed, and may not be")
    check_size(sum(member.file_size for member in members))


@torch.no_grad()
def block_outputs(model: nn.Module, images: Tensor) -> dict[str, np.ndarray]:
    """Return each trainable layer's output after activation and pooling, as in training, in neutral layout.

    Takes scaled images (n, 1, 28, 28). The last layer's output is the logits (n, 10).
    """
    taken: list[Tensor] = []
    trainable = {name: module for name, module in model.named_children() if any(True for _ in module.parameters())}

    def take(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        taken.append(inputs[0])

    hooks = [module.register_forward_pre_hook(take) for module in trainable.values()]
    logits = model.train()(images)
    for hook in hooks:
        hook.remove()
    arrays = [_activations_to_neutral(value.cpu().numpy()) for value in (*taken[1:], logits)]
    return dict(zip(trainable, arrays, strict=True))


def _activations_to_neutral(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:  # (n, channel, height, width)
        return array.transpose(0, 2, 3, 1).copy()
    if array.shape[1] == prod(FLATTEN_SHAPE):  # a flattened (channel, height, width) image
        height, width, channels = FLATTEN_SHAPE
        return array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(array.shape)
    return array


def _neutral_name(name: str) -> str:
    layer, kind = name.split(".")
    return f"{layer}/kernel" if kind == "weight" else f"{layer}/bias"


def _to_neutral(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:  # (out, in, height, width)
        return array.transpose(2, 3, 1, 0).copy()
    # Its columns follow a flattened (channel, height, width) image.
    if name == "dense1.weight" and array.shape[1] == prod(FLATTEN_SHAPE):
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
