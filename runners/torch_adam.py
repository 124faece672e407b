"""Adam as Keras computes it, for the matched track."""

from collections.abc import Callable, Iterable
from math import sqrt

import numpy as np
import torch

from runners.spec import Adam


class KerasAdam(torch.optim.Adam):
    """PyTorch's Adam with Keras's place for epsilon and Keras's rounding of its constants.

    Keras follows the "epsilon hat" form at the end of section 2 of Kingma and Ba (2015), which adds epsilon to the
    uncorrected sqrt(v). PyTorch adds its epsilon to sqrt(v) / sqrt(1 - beta_2^t), so epsilon / sqrt(1 - beta_2^t)
    makes step t the same. Keras also rounds its Python constants to float32, whatever the model's precision.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], adam: Adam) -> None:
        rate, beta_1, beta_2, self._epsilon = (
            float(np.float32(value)) for value in (adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon)
        )
        super().__init__(parameters, lr=rate, betas=(beta_1, beta_2), eps=self._epsilon)
        self._steps = 0

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        self._steps += 1
        for group in self.param_groups:
            group["eps"] = self._epsilon / sqrt(1 - group["betas"][1] ** self._steps)
        return super().step(closure)
