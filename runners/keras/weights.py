"""Read and set Keras's parameters in neutral layout, and check its saved files."""

from math import prod
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np

from lenet.network import Weights, check_weights, parameter_shapes
from runners.core.errors import BadInput
from runners.core.weights_file import check_size


def get_weights(model: keras.Model) -> Weights:
    """Return the parameters in (Keras's own) neutral layout. Raises ValueError if they are not the layer table's."""
    weights = {
        f"{layer.name}/{variable.name}": np.array(keras.ops.convert_to_numpy(variable))
        for layer in model.layers
        for variable in layer.weights
    }
    return check_weights(weights)


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Set parameters from neutral layout. Raises ValueError if either side's are not the layer table's."""
    check_weights(get_weights(model))
    check_weights(weights)
    model.set_weights([weights[name] for name in parameter_shapes()])


def check_file(checkpoint: Path) -> None:
    """Raise BadInput if the HDF5 file is too large, or has links, compressed or external data. Keras writes none."""
    datasets: list[h5py.Dataset] = []
    with h5py.File(checkpoint, "r") as file:
        if file.visititems_links(lambda _, link: None if isinstance(link, h5py.HardLink) else True):
            raise BadInput("it holds links, and may not")
        file.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        for dataset in datasets:
            # Only chunks can be compressed. Chunks and virtual data have other layouts; external data has this one.
            if dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS or dataset.external:
                raise BadInput("its numbers are compressed or elsewhere, and may not be")
        check_size(sum(prod(dataset.shape) * dataset.dtype.itemsize for dataset in datasets))


def block_outputs(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return each trainable layer's output after activation and pooling, as in training, in neutral layout.

    Takes scaled images (n, 28, 28, 1). The last layer's output is the logits (n, 10).
    """
    trainable = [layer for layer in model.layers if layer.weights]
    ends = [layer.input for layer in trainable[1:]] + model.outputs
    values = keras.Model(model.inputs, ends)([images], training=True)
    return {layer.name: keras.ops.convert_to_numpy(value) for layer, value in zip(trainable, values, strict=True)}
