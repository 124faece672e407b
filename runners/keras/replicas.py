"""What training on several replicas takes beyond `build`: a strategy, each replica's share of each batch, and a loop.

`fit` is not used here: it averages the replicas' mean losses, whatever their shares, and does not run under
MultiWorkerMirroredStrategy (keras issue 20585). Who the processes of a multiworker run are is said by TF_CONFIG, which
whoever starts them has set.
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

HOST_NAME_BYTES = 64  # the most that Linux has


def replicas_here(contender: Contender) -> int:
    """How many of its replicas each process has."""
    return contender.replicas if contender.strategy == "mirrored" else 1


def strategy(spec: RunSpec) -> tf.distribute.Strategy:
    """The contender's strategy, TensorFlow's default for a single replica. A process has it once.

    Collectives can be set up only before TensorFlow's runtime starts. Raises RuntimeError if there are not as many
    replicas to be had as the contender names.
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
    tf.get_logger().setLevel(logging.ERROR)  # else it tells the user which devices there are
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
    """Whether this process is the one with the first replica, which writes."""
    return used.cluster_resolver is None or not used.cluster_resolver.task_id


def synchronize(used: tf.distribute.Strategy) -> None:
    """Wait until all work of this process's devices is done."""
    if used.cluster_resolver is None:
        tf.test.experimental.sync_devices()
        return
    # TensorFlow's own refuses in a process that has collectives with others. What is read back comes after all else.
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
        train_batches = iter(used.experimental_distribute_dataset(native_dataset(spec, feed).repeat()))
        divisors = [spec.batch_size] * len(sizes)  # of the short last batch too, as TensorFlow's guide has it
        test_batches = shares(used, tf.data.Dataset.from_tensor_slices(feed["validation_data"]).batch(spec.batch_size))
    counted_as = [tf.constant(divisor, spec.dtype) for divisor in divisors]

    told = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=spec.epochs, steps=len(sizes))
    model.stop_training = False
    told.on_train_begin()
    for epoch in range(spec.epochs):
        told.on_epoch_begin(epoch)
        for step, size in enumerate(counted_as):
            told.on_train_batch_begin(step)
            loop.train_step(train_batches, size)
            first_step()
            told.on_train_batch_end(step)
        train_loss, train_accuracy = loop.means()
        told.on_test_begin()
        for _ in range(test_steps):
            loop.test_step(test_batches)
        test_loss, test_accuracy = loop.means()
        told.on_test_end()
        logs = {"loss": train_loss, "accuracy": train_accuracy, "val_loss": test_loss, "val_accuracy": test_accuracy}
        told.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    told.on_train_end()
    classes = [used.experimental_local_results(loop.classes(test_batches)) for _ in range(test_steps)]
    return of_all_processes(used, [np.concatenate(parts) for parts in classes]).astype(np.uint8)


class Loop:
    """The steps of a model on all replicas of its strategy, and sums over the images that they take."""

    def __init__(self, used: tf.distribute.Strategy, model: keras.Model) -> None:
        self.used, self.model = used, model
        with used.scope():
            model.optimizer.build(model.trainable_variables)
            # Loss, right answers and images. Each replica adds to its own; only reading brings them together.
            self.sums = tf.Variable(
                tf.zeros(3, tf.float64),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def train_step(self, batches: Iterator[Any], size: tf.Tensor) -> None:
        """Train on the next batch of `size` images: each image's loss is divided by it, and gradients are added up."""

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
        """Count the next batch, weights unchanged."""

        def on_replica(images: tf.Tensor, labels: tf.Tensor) -> None:
            logits = self.logits(images, training=False)
            self.count(self.model.loss.call(labels, logits), logits, labels)

        self.used.run(on_replica, next(batches))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def classes(self, batches: Iterator[Any]) -> Any:
        """Of each replica: the class with the largest logit of each of its images of the next batch, int64 (n,)."""
        return self.used.run(lambda images, _: tf.argmax(self.logits(images, training=False), 1), next(batches))

    def logits(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Of one replica's images, of which there may be none."""
        size = tf.shape(images)[0]
        # oneDNN's fused convolution fails on no image at all, so there a blank one goes through, and is cut off again.
        blank = tf.zeros([tf.cast(size == 0, tf.int32), *images.shape[1:]], images.dtype)
        return self.model(tf.concat([images, blank], 0), training=training)[:size]

    def count(self, losses: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> None:
        """Add one replica's images, of which there may be none."""
        right = tf.equal(tf.argmax(logits, 1), tf.cast(labels, tf.int64))
        facts = (tf.reduce_sum(tf.cast(values, tf.float64)) for values in (losses, right, tf.ones_like(losses)))
        self.sums.assign_add(tf.stack(list(facts)))

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy over all replicas' images since the last call."""
        loss, right, images = self.sums.numpy().tolist()
        self.sums.assign(tf.zeros(3, tf.float64))
        return loss / images, right / images


def share_of_mean(losses: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """What one replica's losses, of which there may be none, add to the mean over a batch of `size` images."""
    return tf.reduce_sum(losses) / size


def batch_sizes(images: int, batch_size: int) -> list[int]:
    """Images in each batch of an epoch."""
    return [min(batch_size, images - first) for first in range(0, images, batch_size)]


def shares(used: tf.distribute.Strategy, batches: tf.data.Dataset) -> Iterator[Any]:
    """Each replica's part of each batch, over and over."""

    def of_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def parts(images: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
            ranks = tf.data.Dataset.range(first, first + here)
            return ranks.map(lambda rank: (part(images, rank, replicas), part(labels, rank, replicas)))

        # Known to be endless, it need not be asked before each step whether all replicas have a batch.
        return batches.flat_map(parts).repeat()

    return iter(used.distribute_datasets_from_function(of_process))


def part(whole: tf.Tensor, rank: tf.Tensor, replicas: int) -> tf.Tensor:
    """A replica's contiguous part, as even as possible: that of `np.array_split`."""
    images = tf.shape(whole, tf.int64)[0]
    size, larger = images // replicas, images % replicas
    first = rank * size + tf.minimum(rank, larger)
    return whole[first : first + size + tf.cast(rank < larger, tf.int64)]


def native_dataset(spec: RunSpec, feed: dict[str, Any]) -> tf.data.Dataset:
    """An epoch's batches as the documentation has them; the strategy splits each."""
    return tf.data.Dataset.from_tensor_slices((feed["x"], feed["y"])).shuffle(len(feed["y"])).batch(spec.batch_size)


def native_choices(spec: RunSpec, feed: dict[str, Any]) -> dict[str, Flag]:
    """What `native_dataset` chooses, read from the live object."""
    batched: Any = native_dataset(spec, feed)
    return {
        "shuffling": type(batched._input_dataset).__name__.strip("_"),
        "short last batch": "dropped" if batched._drop_remainder else "kept",
    }


def fed(used: tf.distribute.Strategy, batches: tf.data.Dataset, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of each batch, brought together from all replicas."""
    taken = shares(used, batches)
    parts = (used.run(lambda images, labels: (images, tf.cast(labels, tf.int64)), next(taken)) for _ in range(steps))
    return [(gathered(used, images), gathered(used, labels)) for images, labels in parts]


def gathered(used: tf.distribute.Strategy, parts: Any) -> np.ndarray:
    """All replicas' parts in the order of the replicas: the reverse of `shares`."""
    return used.gather(parts, axis=0).numpy()


def of_all_processes(used: tf.distribute.Strategy, batches: Sequence[np.ndarray]) -> np.ndarray:
    """All batches in order, given this process's part of each, int64 (n,): in each batch first the first process's.

    In two exchanges, of which each takes some 0.2 s however little is exchanged.
    """
    if used.cluster_resolver is None:
        return np.concatenate(batches)
    own_sizes = np.array([[len(part) for part in batches]])
    sizes = gathered(used, used.run(lambda: tf.constant(own_sizes)))  # (processes, batches)
    parts = gathered(used, used.run(lambda: tf.constant(np.concatenate(batches))))
    by_process = np.split(parts, np.cumsum(sizes)[:-1])
    return np.concatenate([part for batch in range(len(batches)) for part in by_process[batch :: len(batches)]])


def nodes(used: tf.distribute.Strategy) -> tuple[str, ...]:
    """Where each process is, by rank; nothing for a process alone."""
    if used.cluster_resolver is None:
        return ()
    name = np.frombuffer(socket.gethostname().encode().ljust(HOST_NAME_BYTES, b"\0"), np.uint8).astype(np.int64)
    names = gathered(used, used.run(lambda: tf.constant(name[np.newaxis])))
    return tuple(bytes(row.astype(np.uint8)).rstrip(b"\0").decode() for row in names)


def facts(used: tf.distribute.Strategy, contender: Contender) -> dict[str, Flag]:
    """The strategy, for the record; nothing for a single replica."""
    if contender.strategy == "single":
        return {}
    inside: Any = used.extended
    if contender.strategy == "multiworker":
        communication = inside._communication_options.implementation.value
    else:
        communication = type(inside._cross_device_ops).__name__
    return {"strategy": type(used).__name__, "replicas": used.num_replicas_in_sync, "communication": communication}
