"""Keras's own callbacks are the standard: told the same losses, both sides must decide the same after every epoch."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

LEARNING_RATE = 1e-3
MIN_DELTA = 1e-4  # ReduceLROnPlateau's

# Steps around both callbacks' thresholds, float32's resolution near 1 (6e-8 to 1.2e-7) included.
steps = st.sampled_from([0.0, 1e-9, 5e-8, 1.2e-7, 5e-5, 9.99e-5, 1e-4, 1.001e-4, 2e-4, 0.1])
walks = st.lists(st.tuples(steps, st.sampled_from([-1, 1])), min_size=1, max_size=30).map(
    lambda moves: (1.0 + np.cumsum([step * sign for step, sign in moves])).tolist()
)
jumps = st.lists(
    st.sampled_from([nan, inf, -inf, 0.0, 0.5, 0.5 - 1e-4, 0.5 + 1e-4, 1.0, 2.3025851, 1e30])
    | st.floats(1e-30, 10)  # nothing that float32 holds as a denormal, which TensorFlow takes for zero
    | st.floats(2**-100, 10, width=32),
    min_size=1,
    max_size=30,
)
losses = walks | jumps
patiences = st.integers(1, 5)


@pytest.fixture(scope="module")
def keras(keras_runner):
    import keras

    return keras


@pytest.fixture(scope="module")
def torch():
    import torch

    return torch


@pytest.fixture(scope="module")
def tiny_keras_model(keras):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(LEARNING_RATE), "mse")
    return model


def told(callback, model, losses, decision):
    """What a Keras callback decides after each epoch; `decision` reads it off the model."""
    callback.set_model(model)
    callback.on_train_begin()
    decisions = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"val_loss": loss})
        decisions.append(decision())
        if model.stop_training:
            break
    return decisions


@settings(deadline=None)
@given(losses=losses, patience=patiences)
def test_early_stopping_stops_after_the_same_epoch(keras, torch, tiny_keras_model, losses, patience):
    from runners.torch.callbacks import EarlyStopping

    model = tiny_keras_model
    model.stop_training = False
    theirs = told(keras.callbacks.EarlyStopping(patience=patience), model, losses, lambda: model.stop_training)
    model.stop_training = False
    ours = EarlyStopping(patience)
    assert [ours.step(loss) for loss in losses[: len(theirs)]] == theirs


@settings(deadline=None)
@given(losses=losses, patience=patiences)
def test_reduce_lr_on_plateau_reduces_after_the_same_epochs(keras, torch, tiny_keras_model, losses, patience):
    from runners.torch.callbacks import ReduceLROnPlateau

    model = tiny_keras_model
    model.optimizer.learning_rate = LEARNING_RATE
    theirs = told(
        keras.callbacks.ReduceLROnPlateau(patience=patience),
        model,
        losses,
        lambda: float(np.asarray(model.optimizer.learning_rate)),
    )
    optimizer = torch.optim.Adam([torch.zeros(1)], LEARNING_RATE)
    ours = ReduceLROnPlateau(optimizer, patience)
    rates, reduced = [], []
    for loss in losses:
        reduced.append(ours.step(loss))
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, theirs, rtol=3e-6)  # Keras keeps the rate in float32
    assert reduced == [after < before for before, after in zip([LEARNING_RATE, *rates], rates, strict=False)]


@settings(deadline=None)
@given(losses=losses)
def test_model_checkpoint_saves_after_the_same_epochs(keras, torch, tiny_keras_model, tmp_path_factory, losses):
    from runners.torch.callbacks import ModelCheckpoint

    with pytest.MonkeyPatch.context() as patch:
        saved = []
        patch.setattr(tiny_keras_model, "save_weights", lambda *arguments, **options: saved.append("keras"))
        patch.setattr("torch.save", lambda *arguments: saved.append("torch"))
        options = {"save_best_only": True, "save_weights_only": True}
        callback = keras.callbacks.ModelCheckpoint("best_model.weights.h5", **options)
        theirs = told(callback, tiny_keras_model, losses, lambda: saved.count("keras"))
        ours = ModelCheckpoint(torch.nn.Linear(1, 1), tmp_path_factory.getbasetemp() / "never written")
        counts = []
        for loss in losses:
            said = ours.step(loss)
            counts.append(saved.count("torch"))
            assert said == (counts[-1] > (counts[-2] if len(counts) > 1 else 0))
    assert counts == theirs


NOTABLE = {
    "ever better": [0.9, 0.8, 0.7],
    "ever worse": [0.7, 0.8, 0.9],
    "a tie is no improvement": [0.5, 0.5, 0.4],
    "NaN after the best": [0.5, nan, 0.4],
    "NaN first is never beaten": [nan, 0.5, 0.4],
    "infinity first is beaten": [inf, 0.5, inf],
    "too little for float32": [1.0, 1.0 - 1e-9, 1.0 - 1e-7],
}


@pytest.mark.parametrize("losses", NOTABLE.values(), ids=NOTABLE)
def test_both_checkpoint_files_hold_the_same_epoch_s_weights(keras, torch, tiny_keras_model, tmp_path, losses):
    from runners.torch.callbacks import ModelCheckpoint

    model, module = tiny_keras_model, torch.nn.Linear(1, 1)
    theirs_path, ours_path = tmp_path / "best_model.weights.h5", tmp_path / "best_model.pt"
    theirs = keras.callbacks.ModelCheckpoint(str(theirs_path), save_best_only=True, save_weights_only=True)
    theirs.set_model(model)
    ours = ModelCheckpoint(module, ours_path)
    for epoch, loss in enumerate(losses):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        theirs.on_epoch_end(epoch, {"val_loss": loss})
        torch.nn.init.constant_(module.weight, epoch)
        ours.step(loss)
    model.load_weights(theirs_path)
    assert torch.load(ours_path, weights_only=True)["weight"].item() == np.asarray(model.weights[0]).item()


def test_early_stopping_waits_for_as_many_epochs_as_it_was_told(torch):
    from runners.torch.callbacks import EarlyStopping

    stopping = EarlyStopping(patience=2)
    assert [stopping.step(loss) for loss in [0.5, 0.6, 0.4, 0.5, 0.4]] == [False, False, False, False, True]


def test_reduce_lr_divides_by_ten_and_waits_anew(torch):
    from runners.torch.callbacks import ReduceLROnPlateau

    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    plateau = ReduceLROnPlateau(optimizer, patience=2)
    rates = []
    for loss in [0.5, 0.5, 0.5, 0.5, 0.5 - 2 * MIN_DELTA, 0.5, 0.5]:
        plateau.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01])
