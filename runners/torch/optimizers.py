"""Keras's updates in PyTorch, for the matched track."""

from collections.abc import Callable, Iterable, Sequence
from math import sqrt

import numpy as np
import torch

from runners.core.spec import Adam, Sgd


class KerasAdam(torch.optim.Adam):
    """PyTorch's Adam with Keras's place for epsilon and Keras's rounding.

    Keras follows the "epsilon hat" form at the end of section 2 of Kingma and Ba (2015), which adds epsilon to the
    uncorrected sqrt(v). PyTorch adds its epsilon to sqrt(v) / sqrt(1 - beta_2^t), so epsilon / sqrt(1 - beta_2^t)
    makes step t the same. In any precision Keras rounds the betas of the bias corrections to float32, but not those of
    the moments: with beta_2 = 0.999 that changes the first step by 6e-6 of its size. Keras stores the learning rate in
    the default precision, as `torch.tensor` does.

    The update is one kernel (`fused`), since TensorFlow's runs without Python between its operations.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], adam: Adam) -> None:
        self._correction_betas = (_float32(adam.beta_1), _float32(adam.beta_2))
        self._epsilon = adam.epsilon
        rate, betas = torch.tensor(adam.learning_rate).item(), (adam.beta_1, adam.beta_2)
        super().__init__(parameters, lr=rate, betas=betas, eps=adam.epsilon, fused=True)
        self._steps = 0

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        self._steps += 1
        keras_1, keras_2 = self._corrections(self._correction_betas)
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            own_1, own_2 = self._corrections(group["betas"])
            group["eps"] = self._epsilon / own_2
            group["lr"] *= (keras_2 / keras_1) / (own_2 / own_1)
        loss = super().step(closure)
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate
        return loss

    def _corrections(self, betas: Sequence[float]) -> tuple[float, float]:
        """Return this step's divisors of the first moment and of the root of the second, which correct their bias."""
        return 1 - betas[0] ** self._steps, sqrt(1 - betas[1] ** self._steps)


def matched_optimizer(parameters: Iterable[torch.nn.Parameter], settings: Adam | Sgd) -> torch.optim.Optimizer:
    """Return the optimiser with Keras's steps: for SGD PyTorch's own, with momentum rounded as in Keras."""
    if isinstance(settings, Adam):
        return KerasAdam(parameters, settings)
    rate = torch.tensor(settings.learning_rate).item()
    return torch.optim.SGD(parameters, lr=rate, momentum=_float32(settings.momentum))


def _float32(constant: float) -> float:
    return float(np.float32(constant))
