"""Both networks against the layer table, and against a third one written here in NumPy's float64."""

import numpy as np
import pytest

from lenet.data import scale
from lenet.network import LAYERS, PARAMETER_COUNT, parameter_shapes
from runners.core.draws import initial_weights, weights_sha256


class InKeras:
    def __init__(self):
        import keras

        from lenet.keras_model import build_model
        from runners.keras import weights

        self.module, self.model = weights, build_model()
        self.numpy = keras.ops.convert_to_numpy

    def parameter_count(self):
        return self.model.count_params()

    def logits(self, images):
        return self.numpy(self.model(images))

    def layer_outputs(self, images):
        """What each trainable layer puts out."""
        outputs = {}
        for layer in self.model.layers:
            images = layer(images)
            outputs[layer.name] = tuple(images.shape[1:])
        return [outputs[layer.name] for layer in LAYERS]


class InTorch:
    def __init__(self):
        import torch

        from lenet.torch_model import LeNet5
        from runners.torch import weights

        self.module, self.model, self.torch = weights, LeNet5(), torch

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.model.parameters())

    def logits(self, images):
        with self.torch.no_grad():
            return self.model(self.torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

    def layer_outputs(self, images):
        outputs = {}
        for name, layer in self.model.named_children():
            layer.register_forward_hook(lambda _, inputs, output, name=name: outputs.update({name: output.shape[1:]}))
        self.logits(images)
        shapes = [tuple(outputs[layer.name]) for layer in LAYERS]
        return [(height, width, channels) for channels, height, width in shapes[:2]] + shapes[2:]


@pytest.fixture(params=[InKeras, InTorch], ids=["keras", "torch"])
def side(request, keras_on_one_thread):
    return request.param()


def with_biases(seed):
    """Weights in which no parameter is zero, so that none can be mistaken for another."""
    random = np.random.default_rng(seed)
    return {
        name: array if array.any() else random.normal(0, 0.1, array.shape).astype(np.float32)
        for name, array in initial_weights(seed).items()
    }


def reference_logits(weights, images):
    """The network in float64: a convolution is a sum over sliding windows, a pool a maximum over 2x2 blocks."""
    x = images.astype(np.float64)
    for layer in LAYERS:
        kernel, bias = (weights[f"{layer.name}/{kind}"].astype(np.float64) for kind in ("kernel", "bias"))
        if kernel.ndim == 4:
            windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
            x = np.einsum("nyxchw,hwco->nyxo", windows, kernel, optimize=True) + bias
            n, height, width, channels = x.shape
            x = np.maximum(x, 0).reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
        else:
            x = x.reshape(len(x), -1) @ kernel + bias
            x = np.maximum(x, 0) if layer.relu else x
    return x


@pytest.fixture(scope="module")
def images(fashion_mnist):
    return scale(fashion_mnist.test_images[:32])


def test_the_network_has_the_layer_table_s_parameters(side):
    weights = side.module.get_weights(side.model)
    assert {name: array.shape for name, array in weights.items()} == parameter_shapes()
    assert side.parameter_count() == PARAMETER_COUNT


def test_the_layers_put_out_what_the_table_says(side, images):
    assert side.layer_outputs(images) == [layer.output_shape for layer in LAYERS]


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_survive_the_round_trip_bit_for_bit(side, seed):
    weights = with_biases(seed)
    side.module.set_weights(side.model, weights)
    back = side.module.get_weights(side.model)
    assert list(back) == list(weights)
    assert all(np.array_equal(back[name], weights[name]) for name in weights)
    assert {array.dtype for array in back.values()} == {np.dtype(np.float32)}
    assert weights_sha256(back) == weights_sha256(weights)


def test_weights_read_out_do_not_follow_the_model(side):
    side.module.set_weights(side.model, with_biases(0))
    before = side.module.get_weights(side.model)
    side.module.set_weights(side.model, with_biases(1))
    assert weights_sha256(before) == weights_sha256(with_biases(0))


def test_the_model_does_not_follow_the_weights_read_in(side):
    weights = with_biases(0)
    side.module.set_weights(side.model, weights)
    for name in weights:
        weights[name] += 1  # in place
    assert weights_sha256(side.module.get_weights(side.model)) == weights_sha256(with_biases(0))


def test_weights_of_another_shape_are_refused(side):
    weights = with_biases(0)
    weights["dense1/kernel"] = weights["dense1/kernel"].T
    with pytest.raises(ValueError, match="dense1/kernel"):
        side.module.set_weights(side.model, weights)


def test_logits_are_the_reference_s(side, images):
    weights = with_biases(0)
    side.module.set_weights(side.model, weights)
    expected = reference_logits(weights, images)
    logits = side.logits(images)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=2e-6 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("name", parameter_shapes())
def test_logits_notice_a_change_in_any_parameter(side, images, name):
    weights = with_biases(0)
    side.module.set_weights(side.model, {**weights, name: weights[name] * np.float32(1.01)})
    expected = reference_logits(weights, images)
    assert np.abs(side.logits(images) - expected).max() > 1e-4 * np.abs(expected).max()


def test_keras_and_pytorch_put_out_the_same_logits(keras_on_one_thread, images):
    sides = InKeras(), InTorch()
    weights = with_biases(2)
    for side in sides:
        side.module.set_weights(side.model, weights)
    in_keras, in_torch = (side.logits(images) for side in sides)
    np.testing.assert_allclose(in_torch, in_keras, atol=2e-6 * np.abs(in_keras).max(), rtol=0)


def test_without_the_flatten_permutation_pytorch_s_logits_are_others(images):
    side, weights = InTorch(), with_biases(0)
    side.module.set_weights(side.model, weights)
    with side.torch.no_grad():
        side.model.dense1.weight.copy_(side.torch.from_numpy(weights["dense1/kernel"].T.copy()))
    expected = reference_logits(weights, images)
    assert np.abs(side.logits(images) - expected).max() > 0.1 * np.abs(expected).max()
