"""The table of defaults says what the installed versions' own objects do, and notices when they do otherwise."""

import numpy as np
import pytest

from lenet.network import parameter_shapes
from runners.core.record import Flag
from runners.core.runner import Choices
from runners.core.spec import RunSpec
from runners.parity.defaults import defaults


def facts(inspector, framework, data):
    spec = RunSpec(contender=framework, limit_train=224)
    before: dict[str, Flag] = {"intra_op_threads": 7, "tf32": True}
    return defaults(inspector, spec, data.first(224), before)


@pytest.fixture(scope="module")
def of_keras(keras_inspector, fashion_mnist):
    return facts(keras_inspector, "keras", fashion_mnist)


@pytest.fixture
def of_torch(torch_inspector, fashion_mnist):
    return facts(torch_inspector, "torch", fashion_mnist)


def test_both_sides_tell_the_same_facts_and_matched_the_same_values(of_keras, of_torch):
    theirs = {"cudnn benchmark"}  # TensorFlow has no such switch
    read_otherwise = {"optimiser", "loss reduction"}
    assert set(of_torch.matched) - set(of_keras.matched) == theirs
    shared = set(of_keras.matched) - read_otherwise
    assert {name: of_keras.matched[name] for name in shared} == {name: of_torch.matched[name] for name in shared}


def test_what_is_known_to_differ_natively_does(of_keras, of_torch):
    keras, torch = of_keras.native, of_torch.native
    assert (keras["epsilon"], torch["epsilon"]) == ("1e-07", "1e-08")
    assert keras["epsilon is added to"] == "the uncorrected root of v"
    assert torch["epsilon is added to"] == "the corrected root of v"
    assert keras["bias corrections"].startswith("rounded: ")
    assert torch["bias corrections"] == "in double precision"
    assert (keras["loss reduction"], torch["loss reduction"]) == ("sum_over_batch_size", "mean")
    assert (keras["shuffling"], torch["shuffling"]) == ("fit(shuffle=True)", "RandomSampler")
    assert (keras["order of an epoch"], torch["order of an epoch"]) == ("the same in all", "a new one in each")
    assert keras["short last batch"] == torch["short last batch"] == "kept"
    assert (keras["dense1/bias at the start"], of_keras.matched["dense1/bias at the start"]) == ("zero", "zero")
    bound = float(torch["dense1/bias at the start"].split("±")[1].split(",")[0])
    assert 0.9 / 16 < bound <= 1 / 16, "PyTorch draws biases within 1 / sqrt(256)"


def test_the_shuffling_told_is_that_of_what_is_fed(keras_runner, keras_inspector, fashion_mnist, monkeypatch):
    feed = keras_runner.native_data
    monkeypatch.setattr(keras_runner, "native_data", lambda *given: {**feed(*given), "shuffle": False})
    native = facts(keras_inspector, "keras", fashion_mnist).native
    assert (native["shuffling"], native["order of an epoch"]) == ("fit(shuffle=False)", "that of the data")


def test_the_process_s_settings_are_those_given_before_and_those_read_after(of_torch):
    assert (of_torch.native["intra op threads"], of_torch.matched["intra op threads"]) == ("7", "1")
    assert (of_torch.native["tf32"], of_torch.matched["tf32"]) == ("True", "False")


class Odd:
    """An inspector whose first Adam step is none that is known."""

    def choices(self, spec, data):
        weights = {name: np.ones(shape) for name, shape in parameter_shapes().items()}
        return Choices(weights, {"learning rate": 0.001, "beta 2": 0.999, "epsilon": 1e-7}, (-2e-4, -1.0001e-3))

    def process_settings(self):
        return {"tf32": True}


def test_a_step_of_another_form_is_called_so(fashion_mnist):
    native = facts(Odd(), "torch", fashion_mnist).native
    assert native["epsilon is added to"] == "neither root of v"
    assert native["bias corrections"] == "rounded: the first step is 1.0e-04 off"
    assert native["conv1/bias at the start"] == "within ±1.000, SD 0.000"
