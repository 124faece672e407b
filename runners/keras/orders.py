"""The orders in which Keras's own shuffling feeds a native run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from runners.core.draws import orders_sha256


@contextmanager
def noted_orders() -> Iterator[list[str]]:
    """Within the context, note the SHA-256 of each order into which Keras shuffles arrays, one an epoch.

    Keras draws them in `ArrayDataAdapter` with `tf.random.shuffle`. They are not changed, and none is kept.
    """
    orders: list[str] = []
    shuffle = tf.random.shuffle

    def note(order: np.ndarray) -> np.ndarray:
        orders.append(orders_sha256(order))
        return order

    def shuffle_and_note(value: tf.Tensor, *arguments: Any, **options: Any) -> tf.Tensor:
        shuffled = shuffle(value, *arguments, **options)
        return tf.ensure_shape(tf.numpy_function(note, [shuffled], shuffled.dtype), shuffled.shape)

    tf.random.shuffle = shuffle_and_note
    try:
        yield orders
    finally:
        tf.random.shuffle = shuffle
