"""The Keras side: `model.fit`, as its documentation teaches it. Read it beside torch/runner.py."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lenet.data import FashionMnist, scale
from lenet.keras_model import build_model
from lenet.network import Weights
from runners.core.clock import Stopwatch
from runners.core.draws import batch_orders, initial_weights, orders_sha256, weights_sha256
from runners.core.frameworks import FRAMEWORKS
from runners.core.record import EpochRow
from runners.core.runner import Outcome
from runners.core.spec import RunSpec
from runners.keras import replicas as distribute
from runners.keras.orders import noted_orders
from runners.keras.settings import configure, versions_and_flags
from runners.keras.weights import get_weights, set_weights

CHECKPOINT = FRAMEWORKS["keras"].checkpoint
OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}


def train(
    spec: RunSpec,
    data: FashionMnist,
    stopwatch: Stopwatch,
    on_epoch: Callable[[EpochRow], None],
    folder: Path,
    on_step: Callable[[Weights], None] | None = None,
) -> Outcome:
    """Train LeNet-5 as `spec` says and leave the best weights in `folder`. `on_step` gets the weights after each step.

    Each of several processes runs this with its share of every batch; the outcome is that of all of them.
    """
    strategy = configure(spec)
    stopwatch.synchronize = partial(distribute.synchronize, strategy)
    with strategy.scope():
        model = build(spec)
    init_sha256 = weights_sha256(get_weights(model))
    stopwatch.lap("build")

    feed = matched_feed(spec, data) if spec.track == "matched" else native_feed(spec, data)
    reporter = EpochReporter(stopwatch, on_epoch)
    chosen = callbacks(spec, folder, stopwatch, writes=distribute.is_first(strategy))
    watchers = [] if on_step is None else [StepReporter(on_step)]
    called = [reporter, *chosen, *watchers]

    if spec.contender.strategy != "single":
        predictions = distribute.fit(strategy, model, spec, data, feed.arguments, called, stopwatch.first_step)
    else:
        time_first_step(model, stopwatch)
        with noted_orders() as orders:
            model.fit(**feed.arguments, epochs=spec.epochs, callbacks=called, verbose=0)
        feed.epoch_orders_sha256.extend(orders)
        predictions = predicted_classes(model, spec, data.test_images)

    return Outcome(
        epochs=tuple(reporter.rows),
        predictions=predictions,
        init_sha256=init_sha256,
        order_sha256=feed.order_sha256,
        epoch_orders_sha256=tuple(feed.epoch_orders_sha256[: len(reporter.rows)]),
        steps=int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        nodes=distribute.nodes(strategy),
        **versions_and_flags(spec, model),
    )


def build(spec: RunSpec) -> keras.Model:
    """Return the compiled model: drawn weights and the specified optimiser in matched, Keras's own in native."""
    model = build_model()
    if spec.track == "matched":
        set_weights(model, initial_weights(spec.init_seed))
        optimizer = OPTIMIZERS[spec.optimizer.name](**spec.optimizer.model_dump())
    else:
        optimizer = keras.optimizers.Adam(learning_rate=spec.optimizer.learning_rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Keras compiles by default on a GPU; no other framework compiles in matched.
    jit_compile = False if spec.track == "matched" else "auto"
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], jit_compile=jit_compile)
    return model


@dataclass(frozen=True)
class Feed:
    """The data that a run trains on, and their order."""

    arguments: dict[str, Any]  # of `fit`
    order_sha256: str | None  # of all epochs together; None if Keras shuffles
    epoch_orders_sha256: list[str]  # of each epoch; a native run adds each as it is drawn


def matched_feed(spec: RunSpec, data: FashionMnist) -> Feed:
    """Return the batches in the order drawn from the seed."""
    orders = batch_orders(spec.order_seed, spec.epochs, len(data.train_labels))
    return Feed(matched_data(spec, data, orders), orders_sha256(orders), list(map(orders_sha256, orders)))


def native_feed(spec: RunSpec, data: FashionMnist) -> Feed:
    """Return the batches in the order in which Keras shuffles them."""
    return Feed(native_data(spec, data), None, [])


def matched_data(spec: RunSpec, data: FashionMnist, orders: np.ndarray) -> dict[str, Any]:
    """Return arguments of `fit`: batches in each epoch's drawn order, int64 (epochs, images), and test batches."""
    return {
        "x": batches(spec, data.train_images, data.train_labels, orders),
        "steps_per_epoch": ceil(orders.shape[1] / spec.batch_size),
        "shuffle": False,
        "validation_data": batches(
            spec, data.test_images, data.test_labels, np.arange(len(data.test_labels))[np.newaxis]
        ),
    }


def native_data(spec: RunSpec, data: FashionMnist) -> dict[str, Any]:
    """Return arguments of `fit` as in the documentation: arrays, which Keras shuffles."""
    train_images, test_images = (
        images[..., np.newaxis].astype("float32") / 255.0 for images in (data.train_images, data.test_images)
    )
    return {
        "x": train_images,
        "y": data.train_labels,
        "batch_size": spec.batch_size,
        "shuffle": True,
        "validation_data": (test_images, data.test_labels),
    }


def batches(spec: RunSpec, images: np.ndarray, labels: np.ndarray, orders: np.ndarray) -> tf.data.Dataset:
    """Return the batches of each order, int64 (epochs, images), one after the other, with the short last ones."""
    steps = ceil(orders.shape[1] / spec.batch_size)
    with tf.device("CPU"):
        all_images, all_labels, order = tf.constant(scale(images, spec.dtype)), tf.constant(labels), tf.constant(orders)

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first = step % steps * spec.batch_size
        picked = order[step // steps, first : first + spec.batch_size]
        return tf.gather(all_images, picked), tf.gather(all_labels, picked)

    options = tf.data.Options()
    # With one thread, deleting an autotuned dataset can take ten seconds and more.
    options.autotune.enabled = False
    return tf.data.Dataset.range(len(orders) * steps).map(batch).prefetch(2).with_options(options)


def predicted_classes(model: keras.Model, spec: RunSpec, images: np.ndarray) -> np.ndarray:
    """Return the class with the largest logit for each image (n, 28, 28): uint8 (n,)."""
    size = spec.batch_size
    parts = (scale(images[first : first + size], spec.dtype) for first in range(0, len(images), size))
    return np.concatenate([model.predict_on_batch(part).argmax(axis=1) for part in parts]).astype(np.uint8)


def callbacks(spec: RunSpec, folder: Path, stopwatch: Stopwatch, writes: bool = True) -> list[keras.callbacks.Callback]:
    """Return the requested callbacks; all watch the test loss. Only a process that `writes` saves weights."""
    chosen: list[keras.callbacks.Callback] = []
    if spec.checkpoint and writes:
        path = str(folder / CHECKPOINT)
        chosen.append(TimedCheckpoint(stopwatch, path, save_best_only=True, save_weights_only=True))
    if spec.reduce_lr is not None:
        chosen.append(keras.callbacks.ReduceLROnPlateau(patience=spec.reduce_lr))
    if spec.early_stopping is not None:
        chosen.append(keras.callbacks.EarlyStopping(patience=spec.early_stopping))
    return chosen


class TimedCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras's checkpoint, timed in a stage of its own."""

    def __init__(self, stopwatch: Stopwatch, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self.stopwatch = stopwatch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.stopwatch.lap("other")
        super().on_epoch_end(epoch, logs)
        self.stopwatch.lap("checkpoint")


class EpochReporter(keras.callbacks.Callback):
    """Times training and evaluation, and reports each epoch's row. Stops when a loss diverges."""

    def __init__(self, stopwatch: Stopwatch, on_epoch: Callable[[EpochRow], None]) -> None:
        super().__init__()
        self.stopwatch, self.on_epoch = stopwatch, on_epoch
        self.rows: list[EpochRow] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.stopwatch.lap("data")

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.stopwatch.lap("other")

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self.train_seconds = self.stopwatch.lap("train")

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        self.eval_seconds = self.stopwatch.lap("eval")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        row = EpochRow(
            epoch=epoch + 1,
            train_loss=logs["loss"],
            train_accuracy=logs["accuracy"],
            test_loss=logs["val_loss"],
            test_accuracy=logs["val_accuracy"],
            learning_rate=float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            train_seconds=self.train_seconds,
            eval_seconds=self.eval_seconds,
        )
        self.rows.append(row)
        self.on_epoch(row)
        self.model.stop_training = row.diverged


class StepReporter(keras.callbacks.Callback):
    """Passes the weights after each step to `on_step`. Used only on request, since it slows the steps."""

    def __init__(self, on_step: Callable[[Weights], None]) -> None:
        super().__init__()
        self.on_step = on_step

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.on_step(get_weights(self.model))


def time_first_step(model: keras.Model, stopwatch: Stopwatch) -> None:
    """Time the first training step, with tracing, in the `compile` stage.

    A per-batch callback could do this too, but it makes Keras copy every batch's logs to the host.
    """
    model.make_train_function()
    step = model.train_function

    def first_step(iterator: Any) -> Any:
        logs = step(iterator)
        model.train_function = step
        stopwatch.first_step()
        return logs

    model.train_function = first_step
