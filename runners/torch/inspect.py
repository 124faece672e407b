"""Facts on PyTorch for the parity audit and the table of defaults, and predictions from its saved weights."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lenet.data import FashionMnist
from lenet.torch_model import LeNet5
from runners.core import weights_file
from runners.core.record import Flag
from runners.core.runner import ADAM_PROBES, Choices, Inspection, order_of_epochs
from runners.core.spec import RunSpec
from runners.torch import replicas as ddp
from runners.torch import runner, settings
from runners.torch.orders import noted_orders
from runners.torch.weights import block_outputs, check_file, get_weights

process_settings = settings.process_settings


def inspect_run(spec: RunSpec, data: FashionMnist, images: np.ndarray) -> Inspection:
    """Return a matched run's batches and its network's outputs before its first step, for the parity audit."""
    device = settings.configure(spec)
    model, _, _ = runner.build(spec, device)
    feed = runner.matched_feed(spec, data, device)
    fed = (batch for batches in feed.epochs for batch in batches)
    scaled, _ = runner.tensors(spec, images, np.zeros(0))
    return Inspection(
        block_outputs(model, scaled.to(device)),
        tuple(
            (ddp.gathered(images.permute(0, 2, 3, 1).numpy()), ddp.gathered(labels.numpy())) for images, labels in fed
        ),
    )


def choices(spec: RunSpec, data: FashionMnist) -> Choices:
    """Return what `build` and the feed choose, read from the live objects, for the table of defaults."""
    model, optimizer, loss_function = runner.build(spec, torch.device("cpu"))
    group = dict(optimizer.param_groups[0])
    feeding: dict[str, Flag] = {}
    if spec.track == "native":
        batches, orders = noted_orders(runner.native_data(spec, data))
        loader: Any = next(batches)
        feeding["shuffling"] = type(loader.sampler).__name__
        feeding["short last batch"] = "dropped" if loader.drop_last else "kept"
        for _ in range(2):
            list(loader.batch_sampler)
        feeding["order of an epoch"] = order_of_epochs(orders)
    moves = []
    for gradient in ADAM_PROBES:
        _, probing, _ = runner.build(spec, torch.device("cpu"))
        probe = nn.Parameter(torch.zeros((), dtype=torch.float64))
        probe.grad = torch.tensor(gradient, dtype=torch.float64)
        probing.add_param_group({"params": [probe]})  # the others have no gradient and do not move
        probing.step()
        moves.append(probe.item())
    return Choices(
        get_weights(model),
        {
            "optimiser": type(optimizer).__name__,
            "learning rate": group["lr"],
            "beta 1": group["betas"][0],
            "beta 2": group["betas"][1],
            "epsilon": group["eps"],
            "weight decay": group["weight_decay"],
            "loss reduction": str(getattr(loss_function, "reduction", None)),
            "jit compile": settings.is_compiled(model),
            **feeding,
        },
        tuple(moves),
    )


@torch.no_grad()
def predict(checkpoint: Path, images: np.ndarray) -> np.ndarray:
    """Return class probabilities, float32 (n, 10), of scaled images (n, 28, 28, 1), from saved weights."""
    model = LeNet5()
    with weights_file.refused_in_a_sentence(checkpoint, "PyTorch"):
        check_file(checkpoint)
        model.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu"))
        weights_file.check_finite(get_weights(model))
    return torch.softmax(model(torch.from_numpy(images).permute(0, 3, 1, 2)), dim=1).numpy()
