"""Keras's part of tests.helpers.replicas: a group's processes, what its replicas see, and what can be done wrong."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf

from runners.core.spec import RunSpec
from runners.keras.replicas import Loop


def same_weight(losses: Any, _size: Any) -> Any:
    """As Keras's own fit has it: the mean of the replicas' means."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses) * replicas, losses.dtype))


def own_sums(loop: Any) -> tuple[float, float]:
    """Of one replica's images alone."""
    loss, right, images = loop.used.experimental_local_results(loop.sums)[0].numpy().tolist()
    loop.sums.assign(tf.zeros(3, tf.float64))
    return loss / images, right / images


def padded(whole: Any, rank: Any, replicas: int) -> Any:
    """Parts of one size, so that some images are in two."""
    images = tf.shape(whole, tf.int64)[0]
    size = -(-images // replicas)
    first = tf.minimum(rank * size, images - size)
    return whole[first : first + size]


def floored(whole: Any, rank: Any, replicas: int) -> Any:
    """Parts of one size, so that some images are in none."""
    size = tf.shape(whole, tf.int64)[0] // replicas
    return whole[rank * size : (rank + 1) * size]


def strided(whole: Any, rank: Any, replicas: int) -> Any:
    """Every second image; fine for training, but predictions come out of order."""
    return whole[rank::replicas]


BREAKS: dict[str, tuple[str, Callable[..., Any]]] = {
    "shares weigh the same": ("share_of_mean", same_weight),
    "sums stay apart": ("Loop.means", own_sums),
    "shares overlap": ("share", padded),
    "shares leave images out": ("share", floored),
    "shares are strided": ("share", strided),
}


def noting(seen: list[np.ndarray]) -> Callable[..., Any]:
    """Loop.logits that notes the images which each replica trains on, as they are in the data: uint8 (n, 28, 28)."""
    plain = Loop.logits

    def note(images: np.ndarray) -> np.int64:
        seen.append((images[..., 0] * 255).round().astype(np.uint8))
        return np.int64(0)

    def logits(loop: Any, images: Any, training: bool) -> Any:
        if training:
            tf.numpy_function(note, [images], tf.int64)
        return plain(loop, images, training)

    return logits


@contextmanager
def noted(seen: list[np.ndarray], spec: RunSpec) -> Iterator[None]:
    """Of a native run; in the others it is seen in the weights."""
    if spec.track == "matched":
        yield
        return
    with mock.patch.object(Loop, "logits", noting(seen)):
        yield


def join(rank: int, addresses: list[str]) -> None:
    """Make this process one of a group; a single one needs none."""
    if len(addresses) > 1:
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
