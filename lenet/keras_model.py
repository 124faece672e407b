"""LeNet-5 in Keras, weights in and out."""

import keras
import numpy as np
from keras import layers

from lenet.network import IMAGE_SIDE, Weights, check_weights, parameter_shapes


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
