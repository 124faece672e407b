"""LeNet-5 in Keras, weights in and out."""

import keras
import numpy as np
from keras import layers

from lenet.architecture import IMAGE_SIDE, Weights, check_weights, parameter_shapes


def build_model() -> keras.Sequential:
    """The network with Keras's own initialisers: images (batch, 28, 28, 1) in, logits (batch, 10) out."""
    return keras.Sequential(
        [
            keras.Input((IMAGE_SIDE, IMAGE_SIDE, 1)),
            layers.Conv2D(6, 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu", name="dense1"),
            layers.Dense(84, activation="relu", name="dense2"),
            layers.Dense(10, name="logits"),
        ],
        name="lenet5",
    )


def get_weights(model: keras.Model) -> Weights:
    """The parameters in neutral layout, which is Keras's own; raises ValueError if they are not the layer table's."""
    weights = {
        f"{layer.name}/{variable.name}": np.array(keras.ops.convert_to_numpy(variable))
        for layer in model.layers
        for variable in layer.weights
    }
    return check_weights(weights)


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Load parameters given in neutral layout."""
    check_weights(weights)
    model.set_weights([weights[name] for name in parameter_shapes()])
