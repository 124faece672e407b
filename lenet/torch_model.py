"""LeNet-5 in PyTorch."""

import torch
from torch import Tensor, nn


class LeNet5(nn.Module):
    """The network with PyTorch's own initialisers: images (batch, 1, 28, 28) in, logits (batch, 10) out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(256, 120)
        self.dense2 = nn.Linear(120, 84)
        self.logits = nn.Linear(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(images)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.relu(self.dense1(x))
        x = torch.relu(self.dense2(x))
        return self.logits(x)
