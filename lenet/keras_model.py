"""LeNet-5 in Keras."""

import keras
from keras import layers

from lenet.network import IMAGE_SIDE


def build_model() -> keras.Sequential:
    """Return the network with Keras's own initialisers: images (batch, 28, 28, 1) in, logits (batch, 10) out."""
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
