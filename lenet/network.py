"""The description of the network: the layer table, against which every framework's model is checked.

Frameworks exchange weights as `Weights`: a dict from parameter name to a NumPy array in one neutral layout.
Convolution kernels are (height, width, channels in, channels out), dense kernels (in, out), and the rows of the first
dense kernel follow a flattened (height, width, channel) image.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

Weights = dict[str, np.ndarray]

IMAGE_SIDE = 28
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Layer:
    """One trainable layer: its kernel in neutral layout, whether ReLU follows, and its output for one image."""

    name: str
    kernel_shape: tuple[int, ...]
    relu: bool
    output_shape: tuple[int, ...]

    @property
    def fans(self) -> tuple[int, int]:
        """Return fan-in and fan-out with the receptive field (Glorot and Bengio 2010, counted as in Keras)."""
        receptive_field = prod(self.kernel_shape[:-2])
        return receptive_field * self.kernel_shape[-2], receptive_field * self.kernel_shape[-1]


# Each convolution is unpadded and followed by a 2x2 max-pool, so 28 -> 24 -> 12 -> 8 -> 4.
LAYERS = (
    Layer("conv1", (5, 5, 1, 6), relu=True, output_shape=(24, 24, 6)),
    Layer("conv2", (5, 5, 6, 16), relu=True, output_shape=(8, 8, 16)),
    Layer("dense1", (256, 120), relu=True, output_shape=(120,)),
    Layer("dense2", (120, 84), relu=True, output_shape=(84,)),
    Layer("logits", (84, 10), relu=False, output_shape=(10,)),
)
FLATTEN_SHAPE = (4, 4, 16)
PARAMETER_COUNT = 44_426


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Return each parameter's neutral shape by name, in the order of drawing and hashing."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in LAYERS:
        shapes[f"{layer.name}/kernel"] = layer.kernel_shape
        shapes[f"{layer.name}/bias"] = layer.kernel_shape[-1:]
    return shapes


def check_weights(weights: Weights) -> Weights:
    """Return `weights` unchanged. Raises ValueError if names or shapes are not the layer table's."""
    expected = parameter_shapes()
    if list(weights) != list(expected):
        raise ValueError(f"the network has parameters {list(weights)}; the layer table has {list(expected)}")
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name} has shape {weights[name].shape}; the layer table says {shape}")
    return weights
