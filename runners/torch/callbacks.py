"""Three of Keras's callbacks, as PyTorch users write them. They take the same decisions (tests prove it).

Call `step` of each with the test loss once an epoch.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn


def improves(test_loss: float, best: float | None, min_delta: float = 0.0) -> bool:
    """Return whether `test_loss` is below `best` by more than `min_delta`, compared in float32 as in Keras."""
    return best is None or bool(np.float32(test_loss + min_delta) < np.float32(best))


class ModelCheckpoint:
    """Saves the weights whenever the test loss is the lowest so far."""

    def __init__(self, model: nn.Module, path: Path) -> None:
        self.model, self.path = model, path
        self.best: float | None = None

    def step(self, test_loss: float) -> bool:
        """Save the weights if the test loss improved; return whether it did."""
        if not improves(test_loss, self.best):
            return False
        self.best = test_loss
        torch.save(self.model.state_dict(), self.path)
        return True


class EarlyStopping:
    """Stops training once the test loss has not improved for `patience` epochs."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best: float | None = None
        self.wait = 0

    def step(self, test_loss: float) -> bool:
        """Return whether training should stop."""
        if improves(test_loss, self.best):
            self.best, self.wait = test_loss, 0
            return False
        self.wait += 1
        return self.wait >= self.patience


class ReduceLROnPlateau:
    """Divides the learning rate by ten once the test loss has not improved by `min_delta` for `patience` epochs."""

    def __init__(self, optimizer: torch.optim.Optimizer, patience: int, min_delta: float = 1e-4) -> None:
        self.optimizer, self.patience, self.min_delta = optimizer, patience, min_delta
        self.best: float | None = None
        self.wait = 0

    def step(self, test_loss: float) -> bool:
        """Reduce the learning rate if the patience is over; return whether it was reduced."""
        if improves(test_loss, self.best, self.min_delta):
            self.best, self.wait = test_loss, 0
            return False
        self.wait += 1
        if self.wait < self.patience:
            return False
        self.wait = 0
        for group in self.optimizer.param_groups:
            group["lr"] = float(np.float32(group["lr"] * 0.1))  # Keras keeps it in float32
        return True
