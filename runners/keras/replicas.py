"""Training on several replicas: a strategy, each replica's share of each batch, and a loop.

Keras's `fit` is not used: it averages the replicas' mean losses, whatever their shares, and does not run under
MultiWorkerMirroredStrategy (keras issue 20585). The caller sets TF_CONFIG, which names the processes of a multiworker
run.
"""

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from math import ceil
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lenet.data import FashionMnist
from runners.core.record import Flag
from runners.core.spec import Contender, RunSpec

HOST_NAME_BYTES = 64  # Linux's maximum


def replicas_here(contender: Contender) -> int:
    """Return the number of replicas in each process."""
    return contender.replicas if contender.strategy == "mirrored" else 1


def strategy(spec: RunSpec) -> tf.distribute.Strategy:
    """Return the contender's strategy, TensorFlow's default for a single replica. It is made once in a process.

    Collectives can be set up only before TensorFlow's runtime starts. Raises RuntimeError if the number of replicas is
    not the contender's.
    """
    built = _strategy(spec.contender.strategy, spec.contender.replicas, spec.device)
    if built.num_replicas_in_sync != spec.contender.replicas:
        raise RuntimeError(
            f"{spec.contender} trains on {spec.contender.replicas} replicas together, "
            f"and here are {built.num_replicas_in_sync}"
        )
    return built


@cache
def _strategy(name: str, replicas: int, device: str) -> tf.distribute.Strategy:
    tf.get_logger().setLevel(logging.ERROR)  # else it prints the devices
    gpu = device == "gpu"
    if name == "mirrored":
        reduce = tf.distribute.NcclAllReduce() if gpu else tf.distribute.ReductionToOneDevice()
        devices = tf.config.list_logical_devices(device.upper())[:replicas]
        return tf.distribute.MirroredStrategy([each.name for each in devices], cross_device_ops=reduce)
    if name == "multiworker":
        implementation = tf.distribute.experimental.CommunicationImplementation
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=implementation.NCCL if gpu else implementation.RING
        )
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    return tf.distribute.get_strategy()


def is_first(used: tf.distribute.Strategy) -> bool:
    """Return whether this process has the first replica, which writes."""
    return used.cluster_resolver is None or not used.cluster_resolver.task_id


def synchronize(used: tf.distribute.Strategy) -> None:
    """Wait until all work of this process's devices is done."""
    if used.cluster_resolver is None:
        tf.test.experimental.sync_devices()
        return
    # sync_devices refuses in a process with collectives. A value that is read back comes after all other work.
    for value in used.experimental_local_results(used.run(_nothing)):
        value.numpy()


def _nothing() -> tf.Tensor:
    return tf.zeros(())


def fit(
    used: tf.distribute.Strategy,
    model: keras.Model,
    spec: RunSpec,
    data: FashionMnist,
    feed: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
    first_step: Callable[[], None],
) -> np.ndarray:
    """Train and evaluate as `model.fit(**feed, callbacks=callbacks)` does on one replica.

    Takes a model built in the strategy's scope; calls `first_step` after each step. Returns the predicted class of each
    test image: uint8 (n,).
    """
    loop = Loop(used, model)
    sizes = batch_sizes(len(data.train_labels), spec.batch_size)
    test_steps = ceil(len(data.test_labels) / spec.batch_size)
    if spec.track == "matched":
        train_batches, divisors = shares(used, feed["x"]), sizes
        test_batches = shares(used, feed["validation_data"])
    else:
        train_batches = iter(used.experimental_distribute_dataset(native_batches(spec, feed).repeat()))
        divisors = [spec.batch_size] * len(sizes)  # also for the short last batch, as in TensorFlow's guide
        test_batches = shares(used, tf.data.Dataset.from_tensor_slices(feed["validation_data"]).batch(spec.batch_size))
    train_sizes = [tf.constant(divisor, spec.dtype) for divisor in divisors]

    called = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=spec.epochs, steps=len(sizes))
    model.stop_training = False
    called.on_train_begin()
    for epoch in range(spec.epochs):
        called.on_epoch_begin(epoch)
        for step, size in enumerate(train_sizes):
            called.on_train_batch_begin(step)
            loop.train_step(train_batches, size)
            first_step()
            called.on_train_batch_end(step)
        train_loss, train_accuracy = loop.means()
        called.on_test_begin()
        for _ in range(test_steps):
            loop.test_step(test_batches)
        test_loss, test_accuracy = loop.means()
        called.on_test_end()
        logs = {"loss": train_loss, "accuracy": train_accuracy, "val_loss": test_loss, "val_accuracy": test_accuracy}
        called.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    called.on_train_end()
    classes = [used.experimental_local_results(loop.classes(test_batches)) for _ in range(test_steps)]
    return of_all_processes(used, [np.concatenate(parts) for parts in classes]).astype(np.uint8)


class Loop:
    """The steps of a model on all replicas of its strategy, and sums over their images."""

    def __init__(self, used: tf.distribute.Strategy, model: keras.Model) -> None:
        self.used, self.model = used, model
        with used.scope():
            model.optimizer.build(model.trainable_variables)
            # Loss, right answers and images. Each replica adds to its own sums; reading adds up all replicas' sums.
            self.sums = tf.Variable(
                tf.zeros(3, tf.float64),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def train_step(self, batches: Iterator[Any], size: tf.Tensor) -> None:
        """Train on the next batch. Each image's loss is divided by `size`; the replicas' gradients are added up."""

        def on_replica(images: tf.Tensor, labels: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                logits = self.logits(images, training=True)
                losses = self.model.loss.call(labels, logits)
                loss = share_of_mean(losses, size)
            variables = self.model.trainable_variables
            self.model.optimizer.apply(tape.gradient(loss, variables), variables)
            self.count(losses, logits, labels)

        self.used.run(on_replica, next(batches))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def test_step(self, batches: Iterator[Any]) -> None:
        """Evaluate the next batch; no weight changes."""

        def on_replica(images: tf.Tensor, labels: tf.Tensor) -> None:
            logits = self.logits(images, training=False)
            self.count(self.model.loss.call(labels, logits), logits, labels)

        self.used.run(on_replica, next(batches))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def classes(self, batches: Iterator[Any]) -> Any:
        """Return for each replica the class with the largest logit for its images of the next batch: int64 (n,)."""
        return self.used.run(lambda images, _: tf.argmax(self.logits(images, training=False), 1), next(batches))

    def logits(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the logits of one replica's images, which may be none."""
        size = tf.shape(images)[0]
        # oneDNN's fused convolution fails without images. Then one blank image goes in, and its logits are cut off.
        blank = tf.zeros([tf.cast(size == 0, tf.int32), *images.shape[1:]], images.dtype)
        return self.model(tf.concat([images, blank], 0), training=training)[:size]

    def count(self, losses: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> None:
        """Add one replica's images, which may be none, to the sums."""
        right = tf.equal(tf.argmax(logits, 1), tf.cast(labels, tf.int64))
        facts = (tf.reduce_sum(tf.cast(values, tf.float64)) for values in (losses, right, tf.ones_like(losses)))
        self.sums.assign_add(tf.stack(list(facts)))

    def means(self) -> tuple[float, float]:
        """Return mean loss and accuracy over all replicas' images since the last call."""
        loss, right, images = self.sums.numpy().tolist()
        self.sums.assign(tf.zeros(3, tf.float64))
        return loss / images, right / images


def share(whole: tf.Tensor, rank: tf.Tensor, replicas: int) -> tf.Tensor:
    """Return a replica's contiguous share, as equal as possible, as `np.array_split` does."""
    images = tf.shape(whole, tf.int64)[0]
    size, larger = images // replicas, images % replicas
    first = rank * size + tf.minimum(rank, larger)
    return whole[first : first + size + tf.cast(rank < larger, tf.int64)]


def shares(used: tf.distribute.Strategy, batches: tf.data.Dataset) -> Iterator[Any]:
    """Return each replica's share of each batch, endlessly repeated."""

    def of_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def parts(images: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
            ranks = tf.data.Dataset.range(first, first + here)
            return ranks.map(lambda rank: (share(images, rank, replicas), share(labels, rank, replicas)))

        # TensorFlow knows that it is endless, so it does not check before each step that all replicas have a batch.
        return batches.flat_map(parts).repeat()

    return iter(used.distribute_datasets_from_function(of_process))


def share_of_mean(losses: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return what one replica's losses, which may be none, add to the mean over a batch of `size` images."""
    return tf.reduce_sum(losses) / size


def batch_sizes(images: int, batch_size: int) -> list[int]:
    """Return the number of images in each batch of an epoch."""
    return [min(batch_size, images - first) for first in range(0, images, batch_size)]


def native_batches(spec: RunSpec, feed: dict[str, Any]) -> tf.data.Dataset:
    """Return an epoch's batches as in the documentation; the strategy splits each batch."""
    return tf.data.Dataset.from_tensor_slices((feed["x"], feed["y"])).shuffle(len(feed["y"])).batch(spec.batch_size)


def native_choices(spec: RunSpec, feed: dict[str, Any]) -> dict[str, Flag]:
    """Return what `native_batches` chooses, read from the live object."""
    batched: Any = native_batches(spec, feed)
    return {
        "shuffling": type(batched._input_dataset).__name__.strip("_"),
        "short last batch": "dropped" if batched._drop_remainder else "kept",
    }


def fed(used: tf.distribute.Strategy, batches: tf.data.Dataset, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images and labels of each batch, gathered from all replicas."""
    taken = shares(used, batches)
    parts = (used.run(lambda images, labels: (images, tf.cast(labels, tf.int64)), next(taken)) for _ in range(steps))
    return [(gathered(used, images), gathered(used, labels)) for images, labels in parts]


def gathered(used: tf.distribute.Strategy, parts: Any) -> np.ndarray:
    """Return all replicas' shares joined in the order of their ranks: the reverse of `shares`."""
    return used.gather(parts, axis=0).numpy()


def of_all_processes(used: tf.distribute.Strategy, batches: Sequence[np.ndarray]) -> np.ndarray:
    """Return all batches in order, each joined from all processes by rank, given this process's parts, int64 (n,).

    Uses only two exchanges, since each takes some 0.2 s, whatever its size.
    """
    if used.cluster_resolver is None:
        return np.concatenate(batches)
    own_sizes = np.array([[len(part) for part in batches]])
    sizes = gathered(used, used.run(lambda: tf.constant(own_sizes)))  # (processes, batches)
    parts = gathered(used, used.run(lambda: tf.constant(np.concatenate(batches))))
    by_process = np.split(parts, np.cumsum(sizes)[:-1])
    return np.concatenate([part for batch in range(len(batches)) for part in by_process[batch :: len(batches)]])


def nodes(used: tf.distribute.Strategy) -> tuple[str, ...]:
    """Return each process's host name, by rank; empty for one process alone."""
    if used.cluster_resolver is None:
        return ()
    name = np.frombuffer(socket.gethostname().encode().ljust(HOST_NAME_BYTES, b"\0"), np.uint8).astype(np.int64)
    names = gathered(used, used.run(lambda: tf.constant(name[np.newaxis])))
    return tuple(bytes(row.astype(np.uint8)).rstrip(b"\0").decode() for row in names)


def facts(used: tf.distribute.Strategy, contender: Contender) -> dict[str, Flag]:
    """Return the strategy's facts for the record; empty for a single replica."""
    if contender.strategy == "single":
        return {}
    inside: Any = used.extended
    if contender.strategy == "multiworker":
        communication = inside._communication_options.implementation.value
    else:
        communication = type(inside._cross_device_ops).__name__
    return {"strategy": type(used).__name__, "replicas": used.num_replicas_in_sync, "communication": communication}
