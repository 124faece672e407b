"""What Keras's side asks of TensorFlow on a GPU, with TensorFlow's configuration played: there may be no GPU here."""

from types import SimpleNamespace

import pytest

from runners.core.spec import RunSpec

GPUS = ["the first", "the second"]
MODEL = SimpleNamespace(jit_compile=True)


@pytest.fixture
def grown(keras_runner, monkeypatch):
    """The GPUs whose memory is to grow, by what it was set to."""
    config = keras_runner.tf.config
    set_to: dict[str, bool] = {}
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: GPUS if kind == "GPU" else [])
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: GPUS if kind == "GPU" else [])
    monkeypatch.setattr(config.experimental, "set_memory_growth", set_to.__setitem__)
    monkeypatch.setattr(config.experimental, "get_memory_growth", lambda gpu: set_to.get(gpu, False))
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: {"device_name": gpu})
    return set_to


def test_memory_grows_on_every_gpu_and_the_record_says_so(keras_runner, grown):
    spec = RunSpec(contender="keras", device="gpu")
    assert keras_runner.versions_and_flags(spec, MODEL)["flags"]["memory_growth"] is False
    keras_runner.configure(spec)
    assert grown == dict.fromkeys(GPUS, True)
    seen = keras_runner.versions_and_flags(spec, MODEL)
    assert (seen["flags"]["memory_growth"], seen["gpu_model"]) == (True, "the first")


def test_without_a_gpu_the_record_says_nothing_of_its_memory(keras_runner):
    assert "memory_growth" not in keras_runner.versions_and_flags(RunSpec(contender="keras"), MODEL)["flags"]


@pytest.mark.parametrize(("track", "compiled"), [("matched", False), ("native", True)])
def test_where_there_is_a_gpu_keras_compiles_in_native_and_not_in_matched(keras_runner, monkeypatch, track, compiled):
    devices = [SimpleNamespace(device_type=kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(keras_runner.tf.config, "list_physical_devices", lambda kind=None: devices)
    spec = RunSpec(contender="keras", track=track)
    model = keras_runner.build(spec)
    assert model.jit_compile is compiled
    assert keras_runner.versions_and_flags(spec, model)["flags"]["jit_compile"] is compiled


def test_the_loop_of_several_replicas_is_never_compiled(keras_runner):
    from runners.keras import settings

    assert settings.is_compiled(RunSpec(contender="keras:mirrored:2", track="native"), MODEL) is False
