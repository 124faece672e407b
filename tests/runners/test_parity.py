"""In the matched track both frameworks take the same first steps: same batches, losses, gradients and updates.

Only the first steps: float32 rounds differently in the two, and sooner or later a ReLU or a max-pool tie falls
differently, after which the paths part by themselves.
"""

import importlib

import numpy as np
import pytest

from lenet.data import scale
from lenet.network import parameter_shapes
from runners.core.draws import batch_orders, initial_weights, weights_sha256
from runners.core.spec import RunSpec

# float32 resolves a weight near 0.1 to 7e-9, which is 7e-6 of an Adam step of 0.001; and where a gradient comes near
# Adam's epsilon, its rounding is not divided away. Which kernels a processor gets moves it: 5e-6 to 2e-5 were seen.
UPDATE_TOLERANCE = 5e-5
GRADIENT_TOLERANCE = 2e-6


def spec(contender, **settings):
    return RunSpec(contender=contender, **settings)


def distance(one, other):
    """Of each parameter: the norm of the difference, relative to the norm."""
    return {name: np.linalg.norm(one[name] - other[name]) / np.linalg.norm(other[name]) for name in parameter_shapes()}


@pytest.fixture(scope="module")
def first_batch(fashion_mnist):
    picked = batch_orders(0, 1, 60_000)[0, :128]
    return scale(fashion_mnist.train_images[picked]), fashion_mnist.train_labels[picked]


@pytest.fixture(scope="module")
def in_keras(keras_runner, first_batch):
    """Loss and gradients of the first drawn batch at the drawn weights."""
    import tensorflow as tf

    images, labels = first_batch
    model = keras_runner.build(spec("keras"))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(images, labels, model(images, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    return loss.numpy(), dict(zip(parameter_shapes(), (gradient.numpy() for gradient in gradients), strict=True))


@pytest.fixture
def in_torch(torch_runner, first_batch):
    import torch

    from lenet.torch_model import LeNet5
    from runners.torch.weights import get_weights

    images, labels = torch.from_numpy(first_batch[0]).permute(0, 3, 1, 2), torch.from_numpy(first_batch[1]).long()
    model, _, loss_function = torch_runner.build(spec("torch"), torch.device("cpu"))
    loss = loss_function(model(images), labels)
    loss.backward()
    holder = LeNet5()  # its weights are the gradients, so that they are read out in neutral layout
    with torch.no_grad():
        for held, parameter in zip(holder.parameters(), model.parameters(), strict=True):
            held.copy_(parameter.grad)
    return loss.item(), get_weights(holder)


def test_the_first_batch_has_the_same_loss(in_keras, in_torch):
    assert in_torch[0] == pytest.approx(in_keras[0], rel=5e-7)


@pytest.mark.parametrize("name", parameter_shapes())
def test_the_first_gradients_agree(in_keras, in_torch, name):
    assert distance(in_torch[1], in_keras[1])[name] < GRADIENT_TOLERANCE


def test_gradients_of_another_batch_would_be_told_apart(in_keras, in_torch, keras_runner, fashion_mnist):
    import tensorflow as tf

    images, labels = scale(fashion_mnist.train_images[:128]), fashion_mnist.train_labels[:128]
    model = keras_runner.build(spec("keras"))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(images, labels, model(images, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    others = dict(zip(parameter_shapes(), (gradient.numpy() for gradient in gradients), strict=True))
    assert min(distance(in_torch[1], others).values()) > 1000 * GRADIENT_TOLERANCE


# Whole steps, through the production feeds and loops


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


STRETCHES = {
    "one step": {"limit_train": 128, "epochs": 1},
    "five steps": {"limit_train": 640, "epochs": 1},
    "two epochs with short last batches": {"limit_train": 300, "epochs": 2},
    "another seed and batch size": {"limit_train": 200, "epochs": 1, "batch_size": 32, "seed": 7},
}


@pytest.mark.parametrize("settings", STRETCHES.values(), ids=STRETCHES)
def test_both_sides_arrive_at_the_same_weights(keras_runner, torch_runner, fashion_mnist, settings):
    data, seed = fashion_mnist.first(settings["limit_train"]), settings.get("seed", 0)
    orders = batch_orders(seed, settings["epochs"], settings["limit_train"])
    keras_weights, keras_losses = fit_keras(keras_runner, data, settings, orders)
    torch_weights, torch_losses = train_torch(torch_runner, data, settings, orders)
    distances = distance(moved(torch_weights, seed), moved(keras_weights, seed))
    assert max(distances.values()) < UPDATE_TOLERANCE, distances
    assert torch_losses == pytest.approx(keras_losses, rel=1e-6)


def test_another_order_in_the_second_epoch_would_be_told_apart(keras_runner, torch_runner, fashion_mnist):
    settings = STRETCHES["two epochs with short last batches"]
    data, orders = fashion_mnist.first(300), batch_orders(0, 2, 300)
    keras_weights, _ = fit_keras(keras_runner, data, settings, orders)
    torch_weights, _ = train_torch(torch_runner, data, settings, orders[[0, 0]])
    assert min(distance(moved(torch_weights, 0), moved(keras_weights, 0)).values()) > 1000 * UPDATE_TOLERANCE


def test_both_sides_evaluate_alike_with_a_short_last_batch(keras_runner, torch_runner, fashion_mnist):
    import torch

    images, labels = fashion_mnist.test_images[:1_000], fashion_mnist.test_labels[:1_000]
    keras_model = keras_runner.build(spec("keras"))
    loss, accuracy = keras_model.evaluate(scale(images), labels, batch_size=128, verbose=0)
    model, _, loss_function = torch_runner.build(spec("torch"), torch.device("cpu"))
    batches = list(zip(*(part.split(128) for part in torch_runner.tensors(spec("torch"), images, labels)), strict=True))
    assert len(batches[-1][1]) == 104
    assert torch_runner.evaluate(model, batches, loss_function) == pytest.approx((loss, accuracy), rel=1e-6)


# What is fed


@pytest.fixture(scope="module")
def fed_batches(fashion_mnist):
    """Of two epochs over 300 images: what the drawn order says each batch is, two of 128 and one of 44 an epoch."""
    orders = batch_orders(0, 2, 300)
    picks = [order[first : first + 128] for order in orders for first in range(0, 300, 128)]
    assert [len(picked) for picked in picks] == [128, 128, 44] * 2
    images, labels = fashion_mnist.train_images, fashion_mnist.train_labels
    return orders, [(images[picked, :, :, None] / np.float32(255), labels[picked]) for picked in picks]


SHORT = {"limit_train": 300, "epochs": 2}


def test_keras_is_fed_the_drawn_order(keras_runner, fashion_mnist, fed_batches):
    orders, expected = fed_batches
    feed = keras_runner.matched_data(spec("keras", **SHORT), fashion_mnist.first(300), orders)
    assert feed["steps_per_epoch"] == 3
    assert feed["shuffle"] is False
    for (images, labels), (expected_images, expected_labels) in zip(feed["x"], expected, strict=True):
        assert images.dtype == "float32"
        assert np.array_equal(images.numpy(), expected_images)
        assert np.array_equal(labels.numpy(), expected_labels)


def test_fit_takes_each_batch_once_and_in_that_order(keras_runner, fashion_mnist, fed_batches):
    """Seen from inside the training step, so that no iterator started anew or read ahead could go unnoticed."""
    import keras

    seen = []

    class Watching(keras.Sequential):
        def train_step(self, batch):
            seen.append([part.numpy() for part in batch])
            return {"loss": 0.0}

    orders, expected = fed_batches
    feed = keras_runner.matched_data(spec("keras", **SHORT), fashion_mnist.first(300), orders)
    feed.pop("validation_data")
    model = Watching([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    model.compile(run_eagerly=True)
    model.fit(**feed, epochs=2, verbose=0)
    for (images, labels), (expected_images, expected_labels) in zip(seen, expected, strict=True):
        assert np.array_equal(images, expected_images)
        assert np.array_equal(labels, expected_labels)


def test_keras_is_tested_on_every_test_image_once(keras_runner, fashion_mnist, fed_batches):
    orders, _ = fed_batches
    feed = keras_runner.matched_data(spec("keras", **SHORT), fashion_mnist.first(300), orders)
    images, labels = zip(*feed["validation_data"], strict=True)
    assert np.array_equal(np.concatenate(images), scale(fashion_mnist.test_images))
    assert np.array_equal(np.concatenate(labels), fashion_mnist.test_labels)


def test_pytorch_is_fed_the_drawn_order(torch_runner, fashion_mnist, fed_batches):
    orders, expected = fed_batches
    epochs = torch_runner.matched_data(spec("torch", **SHORT), fashion_mnist.first(300), orders)
    fed = [batch for batches in epochs for batch in batches]
    for (images, labels), (expected_images, expected_labels) in zip(fed, expected, strict=True):
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), expected_images)
        assert np.array_equal(labels.numpy(), expected_labels)


# The other track


def test_in_the_native_track_each_framework_draws_its_own_weights(keras_runner, torch_runner):
    import torch

    model, _, _ = torch_runner.build(spec("torch", track="native"), torch.device("cpu"))
    drawn = weights_sha256(initial_weights(0))
    assert weights_sha256(weights_of(model)) != drawn
    assert weights_sha256(weights_of(keras_runner.build(spec("keras", track="native")))) != drawn


def test_in_the_native_track_each_framework_has_its_own_epsilon(keras_runner, torch_runner):
    import torch

    _, optimizer, _ = torch_runner.build(spec("torch", track="native"), torch.device("cpu"))
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["eps"] == 1e-8
    assert keras_runner.build(spec("keras", track="native")).optimizer.epsilon == 1e-7


def test_in_the_native_track_every_image_is_fed_once_an_epoch(torch_runner, fashion_mnist):
    run = spec("torch", track="native", **SHORT)
    for batches in torch_runner.native_data(run, fashion_mnist.first(300)):
        fed = [(images.numpy(), labels.numpy()) for images, labels in batches]
        assert [len(labels) for _, labels in fed] == [128, 128, 44]
        images = np.concatenate([images for images, _ in fed]).reshape(300, -1)
        expected = scale(fashion_mnist.train_images[:300]).reshape(300, -1)
        assert np.array_equal(np.sort(images, axis=0), np.sort(expected, axis=0))
