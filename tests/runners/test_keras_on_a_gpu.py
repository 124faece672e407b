"""What Keras's side asks of TensorFlow on a GPU, with TensorFlow's configuration played: there may be no GPU here."""

import pytest

from runners.spec import RunSpec

GPUS = ["the first", "the second"]


@pytest.fixture
def grown(keras_runner, monkeypatch):
    """The GPUs whose memory is to grow, by what it was set to."""
    config, set_to = keras_runner.tf.config, {}
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: GPUS if kind == "GPU" else [])
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: GPUS if kind == "GPU" else [])
    monkeypatch.setattr(config.experimental, "set_memory_growth", set_to.__setitem__)
    monkeypatch.setattr(config.experimental, "get_memory_growth", lambda gpu: set_to.get(gpu, False))
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: {"device_name": gpu})
    return set_to


def test_memory_grows_on_every_gpu_and_the_record_says_so(keras_runner, grown):
    spec = RunSpec(contender="keras", device="gpu")
    assert keras_runner.what_is_in_force(spec)["flags"]["memory_growth"] is False
    keras_runner.configure(spec)
    assert grown == dict.fromkeys(GPUS, True)
    seen = keras_runner.what_is_in_force(spec)
    assert (seen["flags"]["memory_growth"], seen["gpu_model"]) == (True, "the first")


def test_without_a_gpu_the_record_says_nothing_of_its_memory(keras_runner):
    assert "memory_growth" not in keras_runner.what_is_in_force(RunSpec(contender="keras"))["flags"]
