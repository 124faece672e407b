from math import prod

import numpy as np
import pytest

from lenet.network import (
    CLASS_NAMES,
    FLATTEN_SHAPE,
    IMAGE_SIDE,
    LAYERS,
    PARAMETER_COUNT,
    check_weights,
    parameter_shapes,
)


@pytest.fixture
def weights():
    return {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes().items()}


def test_the_network_has_44_426_parameters():
    assert PARAMETER_COUNT == 44_426
    assert sum(prod(shape) for shape in parameter_shapes().values()) == PARAMETER_COUNT


def test_every_layer_has_the_parameters_the_article_gives_it():
    counted = [prod(layer.kernel_shape) + layer.kernel_shape[-1] for layer in LAYERS]
    assert counted == [156, 2_416, 30_840, 10_164, 850]


def test_every_layer_takes_what_the_one_before_puts_out():
    side, channels = IMAGE_SIDE, 1
    for layer in LAYERS[:2]:
        height, width, taken, given = layer.kernel_shape
        assert taken == channels
        assert layer.output_shape == (side - height + 1, side - width + 1, given)
        side, channels = layer.output_shape[0] // 2, given
    assert (side, side, channels) == FLATTEN_SHAPE
    units = prod(FLATTEN_SHAPE)
    for layer in LAYERS[2:]:
        assert layer.kernel_shape == (units, *layer.output_shape)
        units = layer.output_shape[0]
    assert units == len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 10


def test_relu_follows_every_layer_but_the_last():
    assert [layer.relu for layer in LAYERS] == [True, True, True, True, False]


def test_fans_count_the_receptive_field():
    fans = {layer.name: layer.fans for layer in LAYERS}
    assert fans == {
        "conv1": (25, 150),
        "conv2": (150, 400),
        "dense1": (256, 120),
        "dense2": (120, 84),
        "logits": (84, 10),
    }


def test_weights_as_in_the_table_are_returned_unchanged(weights):
    assert check_weights(weights) is weights


def test_a_missing_parameter_is_refused(weights):
    del weights["conv2/bias"]
    with pytest.raises(ValueError, match="layer table has"):
        check_weights(weights)


def test_a_parameter_too_many_is_refused(weights):
    weights["dense3/kernel"] = np.zeros((10, 10), np.float32)
    with pytest.raises(ValueError, match="dense3/kernel"):
        check_weights(weights)


def test_parameters_in_another_order_are_refused(weights):
    with pytest.raises(ValueError, match="layer table has"):
        check_weights(dict(reversed(weights.items())))


def test_a_kernel_of_another_shape_is_refused_by_name(weights):
    weights["dense1/kernel"] = weights["dense1/kernel"].T
    with pytest.raises(ValueError, match=r"dense1/kernel has shape \(120, 256\); the layer table says \(256, 120\)"):
        check_weights(weights)
