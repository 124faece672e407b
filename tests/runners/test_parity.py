"""What the audit does not show of training: that `fit` takes its batches once, other seeds and batch sizes, natives.

All else that the two frameworks share, the audit compares; tests/runners/parity/test_checks.py plants faults in it.
"""

import importlib

import numpy as np
import pytest

from lenet.data import scale
from lenet.network import parameter_shapes
from runners.core.draws import batch_orders, initial_weights
from runners.core.spec import RunSpec

# float32 resolves a weight near 0.1 to 7e-9, which is 7e-6 of an Adam step of 0.001; and where a gradient comes near
# Adam's epsilon, its rounding is not divided away. Which kernels a processor gets moves it: 5e-6 to 2e-5 were seen.
UPDATE_TOLERANCE = 5e-5


def spec(contender, **settings):
    return RunSpec(contender=contender, **settings)


def distance(one, other):
    """Of each parameter: the norm of the difference, relative to the norm."""
    return {name: np.linalg.norm(one[name] - other[name]) / np.linalg.norm(other[name]) for name in parameter_shapes()}


def weights_of(model):
    """In the neutral layout."""
    framework = "torch" if hasattr(model, "named_parameters") else "keras"
    return importlib.import_module(f"runners.{framework}.weights").get_weights(model)


def fit_keras(runner, data, settings, orders):
    """Weights after `fit`, and each epoch's loss."""
    run = spec("keras", **settings)
    model = runner.build(run)
    history = model.fit(**runner.matched_data(run, data, orders), epochs=run.epochs, verbose=0)
    return weights_of(model), history.history["loss"]


def train_torch(runner, data, settings, orders):
    import torch

    run = spec("torch", **settings)
    model, optimizer, loss_function = runner.build(run, torch.device("cpu"))
    epochs = runner.matched_data(run, data, orders)
    losses = [runner.train_epoch(model, batches, loss_function, optimizer, lambda: None)[0] for batches in epochs]
    return weights_of(model), losses


def moved(weights, seed):
    start = initial_weights(seed)
    return {name: weights[name] - start[name] for name in start}


def test_both_sides_arrive_at_the_same_weights_with_another_seed_and_batch_size(
    keras_runner, torch_runner, fashion_mnist
):
    settings = {"limit_train": 200, "epochs": 1, "batch_size": 32, "seed": 7}
    data, orders = fashion_mnist.first(200), batch_orders(7, 1, 200)
    keras_weights, keras_losses = fit_keras(keras_runner, data, settings, orders)
    torch_weights, torch_losses = train_torch(torch_runner, data, settings, orders)
    distances = distance(moved(torch_weights, 7), moved(keras_weights, 7))
    assert max(distances.values()) < UPDATE_TOLERANCE, distances
    assert torch_losses == pytest.approx(keras_losses, rel=1e-6)


SHORT = {"limit_train": 300, "epochs": 2}


def test_fit_takes_each_batch_once_and_in_the_drawn_order(keras_runner, fashion_mnist):
    """Seen from inside the training step, so that no iterator started anew or read ahead could go unnoticed."""
    import keras

    seen = []

    class Watching(keras.Sequential):
        def train_step(self, batch):
            seen.append([part.numpy() for part in batch])
            return {"loss": 0.0}

    orders = batch_orders(0, 2, 300)
    picks = [order[first : first + 128] for order in orders for first in range(0, 300, 128)]
    data = fashion_mnist.train_images[:300, :, :, None] / np.float32(255), fashion_mnist.train_labels
    feed = keras_runner.matched_data(spec("keras", **SHORT), fashion_mnist.first(300), orders)
    feed.pop("validation_data")
    model = Watching([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    model.compile(run_eagerly=True)
    model.fit(**feed, epochs=2, verbose=0)
    for (images, labels), picked in zip(seen, picks, strict=True):
        assert np.array_equal(images, data[0][picked])
        assert np.array_equal(labels, data[1][picked])


def test_in_the_native_track_every_image_is_fed_once_an_epoch(torch_runner, fashion_mnist):
    run = spec("torch", track="native", **SHORT)
    for batches in torch_runner.native_data(run, fashion_mnist.first(300)):
        fed = [(images.numpy(), labels.numpy()) for images, labels in batches]
        assert [len(labels) for _, labels in fed] == [128, 128, 44]
        images = np.concatenate([images for images, _ in fed]).reshape(300, -1)
        expected = scale(fashion_mnist.train_images[:300]).reshape(300, -1)
        assert np.array_equal(np.sort(images, axis=0), np.sort(expected, axis=0))
