"""Keras's parameters in and out, in the neutral layout."""

import keras
import numpy as np

from lenet.network import Weights, check_weights, parameter_shapes


def get_weights(model: keras.Model) -> Weights:
    """The parameters in neutral layout, which is Keras's own; raises ValueError if they are not the layer table's."""
    weights = {
        f"{layer.name}/{variable.name}": np.array(keras.ops.convert_to_numpy(variable))
        for layer in model.layers
        for variable in layer.weights
    }
    return check_weights(weights)


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Load parameters given in neutral layout; raises ValueError if either side's are not the layer table's."""
    check_weights(get_weights(model))
    check_weights(weights)
    model.set_weights([weights[name] for name in parameter_shapes()])


def block_outputs(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """What each trainable layer hands on after activation and pooling, as in training, in neutral layout.

    Takes scaled images (n, 28, 28, 1). The last layer's are the logits (n, 10).
    """
    trainable = [layer for layer in model.layers if layer.weights]
    ends = [layer.input for layer in trainable[1:]] + model.outputs
    values = keras.Model(model.inputs, ends)([images], training=True)
    return {layer.name: keras.ops.convert_to_numpy(value) for layer, value in zip(trainable, values, strict=True)}
