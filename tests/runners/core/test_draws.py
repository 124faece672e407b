from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet.network import LAYERS, check_weights
from runners.core.draws import batch_orders, initial_weights, orders_sha256, weights_sha256

seeds = st.integers(0, 2**32 - 1)

# Golden values: a change here means that no new run pairs with an old one.
WEIGHTS_OF_SEED_0 = "d94a6e382d107fa41c98308097ba44cde6ee8e18d46140ad4a028d317aba8957"
WEIGHTS_OF_SEED_1 = "97b101eaf15a3a731e084dc5d5afc77a32394f68f3e64f8b15cc36161b862fd1"
ORDERS_OF_SEED_0 = "0201089cf127212b8eb4c87d378d5586b9ff124c4385bea375a2790a7a8c21b9"  # 2 epochs of 1,000 images
FULL_ORDERS_OF_SEED_0 = "be26d56c5fca6aaf9bdf77d2527dd8d4d92b16e78a637e2dcfed05774db82ffb"  # 13 epochs of 60,000 images


def test_weights_have_the_layer_table_s_names_and_shapes_in_float32():
    weights = check_weights(initial_weights(0))
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_kernels_stay_within_the_glorot_limit_and_reach_for_it(layer):
    limit = np.float32(sqrt(6 / sum(layer.fans)))
    largest = max(np.abs(initial_weights(seed)[f"{layer.name}/kernel"]).max() for seed in range(5))
    assert 0.98 * limit < largest <= limit


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_kernels_have_mean_zero_and_the_glorot_variance(layer):
    draws = np.concatenate([initial_weights(seed)[f"{layer.name}/kernel"].ravel() for seed in range(40)])
    variance = 2 / sum(layer.fans)
    assert abs(draws.mean()) < 5 * sqrt(variance / draws.size)
    assert draws.var() == pytest.approx(variance, rel=5 * sqrt(0.8 / draws.size))  # a uniform's kurtosis is 1.8


def test_biases_are_zero():
    weights = initial_weights(3)
    assert all(not weights[f"{layer.name}/bias"].any() for layer in LAYERS)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_same_seed_draws_the_same(seed):
    assert weights_sha256(initial_weights(seed)) == weights_sha256(initial_weights(seed))
    assert np.array_equal(batch_orders(seed, 2, 50), batch_orders(seed, 2, 50))


@given(seeds, seeds)
@settings(max_examples=20, deadline=None)
def test_different_seeds_draw_differently(one, other):
    if one != other:
        assert weights_sha256(initial_weights(one)) != weights_sha256(initial_weights(other))
        assert not np.array_equal(batch_orders(one, 1, 50), batch_orders(other, 1, 50))


def test_weights_and_orders_come_from_different_streams():
    weights = initial_weights(0)["conv1/kernel"].ravel()
    as_if_shared = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
    limit = sqrt(6 / 175)
    assert not np.allclose(weights, as_if_shared.uniform(-limit, limit, weights.size))


def test_drawing_ignores_numpy_s_global_state():
    np.random.seed(1)  # noqa: NPY002
    before = weights_sha256(initial_weights(0)), orders_sha256(batch_orders(0, 2, 50))
    np.random.seed(2)  # noqa: NPY002
    assert (weights_sha256(initial_weights(0)), orders_sha256(batch_orders(0, 2, 50))) == before


@given(seeds, st.integers(1, 4), st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_every_epoch_s_order_is_a_permutation(seed, epochs, images):
    orders = batch_orders(seed, epochs, images)
    assert orders.shape == (epochs, images)
    assert orders.dtype == np.int64
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(images), (epochs, 1)))


def test_epochs_have_different_orders():
    orders = batch_orders(0, 13, 100)
    assert len({tuple(order) for order in orders}) == 13


@given(seeds, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_a_longer_run_begins_with_the_orders_of_a_shorter_one(seed, epochs, more):
    assert np.array_equal(batch_orders(seed, epochs + more, 40)[:epochs], batch_orders(seed, epochs, 40))


def test_seeds_draw_what_they_always_drew():
    assert weights_sha256(initial_weights(0)) == WEIGHTS_OF_SEED_0
    assert weights_sha256(initial_weights(1)) == WEIGHTS_OF_SEED_1
    assert orders_sha256(batch_orders(0, 2, 1_000)) == ORDERS_OF_SEED_0
    assert orders_sha256(batch_orders(0, 13, 60_000)) == FULL_ORDERS_OF_SEED_0


@pytest.mark.parametrize("name", ["conv1/kernel", "logits/bias"])
def test_one_changed_weight_changes_the_hash(name):
    weights = initial_weights(0)
    flat = weights[name].reshape(-1)
    flat[-1] = np.nextafter(flat[-1], np.float32(1))
    assert weights_sha256(weights) != WEIGHTS_OF_SEED_0


def test_two_images_swapped_change_the_orders_hash():
    orders = batch_orders(0, 2, 1_000)
    orders[1, [7, 8]] = orders[1, [8, 7]]
    assert orders_sha256(orders) != ORDERS_OF_SEED_0


def test_hashes_do_not_depend_on_memory_layout():
    weights = {name: np.asfortranarray(array) for name, array in initial_weights(0).items()}
    assert weights_sha256(weights) == WEIGHTS_OF_SEED_0
    assert orders_sha256(np.asfortranarray(batch_orders(0, 2, 1_000))) == ORDERS_OF_SEED_0
