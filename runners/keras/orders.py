"""The orders in which Keras's own shuffling feeds a native run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf


@contextmanager
def noted_orders() -> Iterator[list[np.ndarray]]:
    """Within the context, note each order that Keras shuffles arrays into: int64 (images,), one an epoch.

    Keras draws them in `ArrayDataAdapter` with `tf.random.shuffle`. They stay what they are, and are only copied.
    """
    orders: list[np.ndarray] = []
    shuffle = tf.random.shuffle

    def note(order: np.ndarray) -> np.ndarray:
        orders.append(order.copy())
        return order

    def shuffle_and_note(value: tf.Tensor, *arguments: Any, **options: Any) -> tf.Tensor:
        shuffled = shuffle(value, *arguments, **options)
        return tf.ensure_shape(tf.numpy_function(note, [shuffled], shuffled.dtype), shuffled.shape)

    tf.random.shuffle = shuffle_and_note
    try:
        yield orders
    finally:
        tf.random.shuffle = shuffle
