"""Everything random in a matched run, drawn with NumPy and not by a framework.

Initial weights and batch order come from independent streams: either seed can change without changing the other draw.
"""

import hashlib
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from lenet.network import LAYERS, Weights, parameter_shapes

# Spawn keys that keep the streams of one seed apart (numpy.random.SeedSequence).
_INITIALISATION, _ORDER = 0, 1


def initial_weights(seed: int) -> Weights:
    """Return Glorot-uniform kernels and zero biases, float32, in neutral layout.

    Kernels are uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16), Keras's default.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_INITIALISATION,)))
    weights: Weights = {}
    for layer in LAYERS:
        limit = sqrt(6 / sum(layer.fans))
        weights[f"{layer.name}/kernel"] = generator.uniform(-limit, limit, layer.kernel_shape).astype(np.float32)
        weights[f"{layer.name}/bias"] = np.zeros(layer.kernel_shape[-1:], np.float32)
    return weights


def batch_orders(seed: int, epochs: int, images: int) -> np.ndarray:
    """Return a permutation of the training images for each epoch: int64, shape (epochs, images).

    Every epoch has its own stream, so a longer run starts with the orders of a shorter one.
    """
    streams = (np.random.SeedSequence(seed, spawn_key=(_ORDER, epoch)) for epoch in range(epochs))
    return np.stack([np.random.default_rng(stream).permutation(images) for stream in streams])


def weights_sha256(weights: Weights) -> str:
    """Return the SHA-256 over the parameters' bytes (little-endian, C order) in the layer table's order."""
    digest = hashlib.sha256()
    for name in parameter_shapes():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).astype("<f4").tobytes())
    return digest.hexdigest()


def orders_sha256(orders: ArrayLike) -> str:
    """Return the SHA-256 over the orders of one or several epochs (little-endian int64, epoch after epoch)."""
    return hashlib.sha256(np.ascontiguousarray(orders, dtype="<i8").tobytes()).hexdigest()
