"""Keras's update, written out here in NumPy and done by Keras itself, is the standard."""

import numpy as np
import pytest

from runners.core.spec import Adam

DEFAULT = Adam()
# Exact in float32, so that no rounding of constants can hide or excuse a difference.
DYADIC = Adam(learning_rate=2**-10, beta_1=0.90625, beta_2=1 - 2**-10, epsilon=2**-23)
STEPS = 30


@pytest.fixture(scope="module")
def gradients():
    """Of 200 parameters, of all sizes from far below epsilon to large, some of them zero in places."""
    random = np.random.default_rng(0)
    sizes = np.logspace(-10, 1, 200)
    return random.normal(size=(STEPS, 200)) * sizes * (random.random((STEPS, 200)) > 0.1)


def in_numpy(adam, gradients):
    """The weights after each step from zero, in float64, as the documentation of Keras's Adam has it."""
    weights, m, v = np.zeros((3, gradients.shape[1]))
    history = []
    for step, gradient in enumerate(gradients, start=1):
        m += (gradient - m) * (1 - adam.beta_1)
        v += (gradient**2 - v) * (1 - adam.beta_2)
        rate = adam.learning_rate * np.sqrt(1 - adam.beta_2**step) / (1 - adam.beta_1**step)
        weights = weights - rate * m / (np.sqrt(v) + adam.epsilon)
        history.append(weights)
    return np.array(history)


def in_keras(adam, gradients):
    import keras

    weights = keras.Variable(np.zeros_like(gradients[0]), dtype=str(gradients.dtype))
    optimizer = keras.optimizers.Adam(**adam.model_dump())
    history = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weights])
        history.append(weights.value.numpy())
    return np.array(history)


def in_torch(optimizer_of, gradients):
    import torch

    weights = torch.nn.Parameter(torch.from_numpy(np.zeros_like(gradients[0])))
    optimizer = optimizer_of([weights])
    history = []
    for gradient in gradients:
        weights.grad = torch.from_numpy(gradient)
        optimizer.step()
        history.append(weights.detach().numpy().copy())
    return np.array(history)


def keras_adam(adam):
    from runners.torch.optimizers import KerasAdam

    return lambda parameters: KerasAdam(parameters, adam)


def torch_s_own(adam):
    import torch

    betas = (adam.beta_1, adam.beta_2)
    return lambda parameters: torch.optim.Adam(parameters, adam.learning_rate, betas, adam.epsilon)


def test_every_step_is_keras_s_update_in_float64(gradients):
    np.testing.assert_allclose(in_torch(keras_adam(DYADIC), gradients), in_numpy(DYADIC, gradients), rtol=1e-12)


def test_every_step_is_keras_s_own_in_float64(keras_runner, gradients):
    np.testing.assert_allclose(in_torch(keras_adam(DYADIC), gradients), in_keras(DYADIC, gradients), rtol=1e-12)


def test_every_step_is_keras_s_own_in_float64_with_the_default_constants_too(keras_runner, gradients):
    np.testing.assert_allclose(in_torch(keras_adam(DEFAULT), gradients), in_keras(DEFAULT, gradients), rtol=1e-12)


def test_every_step_is_keras_s_own_in_float32_up_to_its_resolution(keras_runner, gradients):
    gradients = gradients.astype(np.float32)
    ours, theirs = in_torch(keras_adam(DEFAULT), gradients), in_keras(DEFAULT, gradients)
    distance = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    assert distance.max() < 3e-6  # Keras's 1 - beta_2^t has few digits in the first steps


def test_pytorch_s_own_adam_with_the_same_epsilon_takes_other_steps(gradients):
    theirs = in_numpy(DYADIC, gradients)
    distance = np.abs(in_torch(torch_s_own(DYADIC), gradients) - theirs)
    assert (distance[0] > 0.1 * np.abs(theirs[0])).sum() > 20
    assert (distance[-1] > 0.1 * np.abs(theirs[-1])).sum() > 20


def test_a_reduced_learning_rate_is_used_from_the_next_step_and_stays(gradients):
    import torch

    from runners.torch.optimizers import KerasAdam

    weights = [torch.nn.Parameter(torch.zeros(200, dtype=torch.float64)) for _ in range(2)]
    full, reduced = (KerasAdam([weight], DYADIC) for weight in weights)
    moves = []
    for step, gradient in enumerate(gradients):
        if step == 10:
            reduced.param_groups[0]["lr"] *= 0.125
        before = [weight.detach().clone() for weight in weights]
        for weight, optimizer in zip(weights, (full, reduced), strict=True):
            weight.grad = torch.from_numpy(gradient)
            optimizer.step()
        moves.append([(weight.detach() - old).numpy() for weight, old in zip(weights, before, strict=True)])
    for step, (whole, part) in enumerate(moves):
        np.testing.assert_allclose(part, whole * (0.125 if step >= 10 else 1), rtol=1e-9, atol=1e-18)
    assert full.param_groups[0]["lr"] == DYADIC.learning_rate
    assert reduced.param_groups[0]["lr"] == DYADIC.learning_rate * 0.125


def test_the_closure_s_loss_is_handed_on():
    import torch

    from runners.torch.optimizers import KerasAdam

    weight = torch.nn.Parameter(torch.ones(1))
    assert KerasAdam([weight], DEFAULT).step(lambda: 2.5) == 2.5
