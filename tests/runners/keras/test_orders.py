"""Noting Keras's orders shows what it feeds, and changes nothing."""

from typing import Any

import numpy as np
import pytest

IMAGES = 300


@pytest.fixture
def fit(keras_runner):
    """Fit one weight to the places of images; returns the weights that it went through, which show the order."""
    import keras

    def fitted(seed, epochs=2):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        model.compile("sgd", "mse")
        went = []

        def note(batch, logs):
            went.append(model.get_weights()[0].item())

        at_batch = keras.callbacks.LambdaCallback(on_train_batch_end=note)
        places = np.arange(IMAGES, dtype="float32")[:, np.newaxis] / IMAGES
        model.fit(places, places, batch_size=32, epochs=epochs, shuffle=True, callbacks=[at_batch], verbose=0)
        return went

    return fitted


def test_what_is_noted_is_a_permutation_an_epoch_and_training_is_the_same_to_the_bit(fit, monkeypatch):
    from runners.keras import orders as module
    from runners.keras.orders import noted_orders

    monkeypatch.setattr(module, "orders_sha256", list)  # the orders themselves
    plain = fit(3)
    orders: Any
    with noted_orders() as orders:
        noted = fit(3)
    assert noted == plain
    assert [sorted(order) for order in orders[:2]] == [list(range(IMAGES))] * 2
    assert list(orders[0]) != list(range(IMAGES))


def test_an_order_belongs_to_its_seed(fit):
    from runners.keras.orders import noted_orders

    with noted_orders() as orders:
        fit(3, epochs=1)
        fit(4, epochs=1)
        fit(3, epochs=1)
    first, other, again = orders
    assert len(first) == 64
    assert first == again != other


def test_afterwards_nothing_is_noted(fit):
    from runners.keras.orders import noted_orders

    with noted_orders() as orders:
        pass
    fit(3, epochs=1)
    assert orders == []
