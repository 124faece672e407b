"""The PyTorch side: the explicit loop, as its documentation teaches it. Read it beside keras/runner.py."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lenet.data import FashionMnist, scale
from lenet.network import Weights
from lenet.torch_model import LeNet5
from runners.core.clock import Stopwatch
from runners.core.draws import batch_orders, initial_weights, orders_sha256, weights_sha256
from runners.core.frameworks import FRAMEWORKS
from runners.core.record import EpochRow
from runners.core.runner import Outcome
from runners.core.spec import RunSpec
from runners.torch import replicas as ddp
from runners.torch.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from runners.torch.optimizers import matched_optimizer
from runners.torch.orders import noted_orders
from runners.torch.settings import configure, versions_and_flags
from runners.torch.weights import get_weights, set_weights

CHECKPOINT = FRAMEWORKS["torch"].checkpoint

Batches = Iterable[tuple[Tensor, Tensor]]


def train(
    spec: RunSpec,
    data: FashionMnist,
    stopwatch: Stopwatch,
    on_epoch: Callable[[EpochRow], None],
    folder: Path,
    on_step: Callable[[Weights], None] | None = None,
) -> Outcome:
    """Train LeNet-5 as `spec` says and leave the best weights in `folder`. `on_step` gets the weights after each step.

    Each of several replicas runs this with its share of every batch; the outcome is that of all of them.
    """
    device = configure(spec)
    stopwatch.synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    model, optimizer, loss_function = build(spec, device)
    trained = ddp.replica(model)
    init_sha256 = weights_sha256(get_weights(model))
    stopwatch.lap("build")

    feed = matched_feed(spec, data, device) if spec.track == "matched" else native_feed(spec, data)
    test_images, test_labels = tensors(spec, ddp.share(data.test_images), ddp.share(data.test_labels))
    test_batches = list(zip(test_images.split(spec.batch_size), test_labels.split(spec.batch_size), strict=True))
    checkpoint, reduce_lr, early_stopping = callbacks(spec, folder, model, optimizer, writes=ddp.rank() == 0)
    stopwatch.lap("data")

    steps = Steps(model, stopwatch, on_step)
    rows: list[EpochRow] = []
    waits: list[ddp.Waited] = []
    for epoch, batches in enumerate(feed.epochs, start=1):
        trained_on = train_epoch(trained, batches, loss_function, optimizer, steps.taken, feed.loss_weights)
        train_seconds = stopwatch.lap("train")
        waits.append(ddp.waited(trained))
        tested_on = evaluate(model, test_batches, loss_function)
        row = epoch_row(epoch, optimizer, trained_on, tested_on, train_seconds, stopwatch.lap("eval"))
        rows.append(row)
        on_epoch(row)
        stopwatch.lap("other")
        if checkpoint is not None:
            checkpoint.step(row.test_loss)
            stopwatch.lap("checkpoint")
        if reduce_lr is not None:
            reduce_lr.step(row.test_loss)
        if row.diverged or (early_stopping is not None and early_stopping.step(row.test_loss)):
            break

    return Outcome(
        epochs=tuple(rows),
        predictions=ddp.gathered(predicted_classes(model, test_batches)),
        init_sha256=init_sha256,
        order_sha256=feed.order_sha256,
        epoch_orders_sha256=tuple(feed.epoch_orders_sha256[: len(rows)]),
        steps=steps.number,
        nodes=ddp.nodes(),
        communication_share=ddp.communication_share(waits, rows, -(-len(data.train_labels) // spec.batch_size), device),
        **versions_and_flags(device, trained),
    )


def build(spec: RunSpec, device: torch.device) -> tuple[LeNet5, torch.optim.Optimizer, nn.Module]:
    """Return model, optimiser and loss: drawn weights and Keras's updates in matched, PyTorch's own in native."""
    model = LeNet5()
    optimizer: torch.optim.Optimizer
    if spec.track == "matched":
        set_weights(model, initial_weights(spec.init_seed))
        # TensorFlow's memory layout, so that convolutions have the same. (torch's stubs lack this argument.)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = matched_optimizer(model.to(device).parameters(), spec.optimizer)
    else:
        optimizer = torch.optim.Adam(model.to(device).parameters(), lr=spec.optimizer.learning_rate)
    return model, optimizer, nn.CrossEntropyLoss()


@dataclass(frozen=True)
class Feed:
    """The data that a run trains on, and their order."""

    epochs: Iterator[Batches]
    order_sha256: str | None  # of all epochs together; None if PyTorch shuffles
    epoch_orders_sha256: list[str]  # of each epoch; a native run adds each as it is drawn
    loss_weights: Iterable[Tensor | None] = repeat(None)  # of each batch of an epoch; None is 1


def matched_feed(spec: RunSpec, data: FashionMnist, device: torch.device) -> Feed:
    """Return the batches in the order drawn from the seed."""
    images = len(data.train_labels)
    orders = batch_orders(spec.order_seed, spec.epochs, images)
    epoch_orders = list(map(orders_sha256, orders))
    loss_weights = ddp.share_weights(images, spec.batch_size, device)
    return Feed(matched_data(spec, data, orders), orders_sha256(orders), epoch_orders, loss_weights)


def native_feed(spec: RunSpec, data: FashionMnist) -> Feed:
    """Return the batches in the order in which PyTorch shuffles them."""
    epochs, orders = noted_orders(native_data(spec, data))
    return Feed(epochs, None, orders)


def matched_data(spec: RunSpec, data: FashionMnist, orders: np.ndarray) -> Iterator[Batches]:
    """Return this replica's share of the batches in each epoch's drawn order, int64 (epochs, images)."""
    images, labels = tensors(spec, data.train_images, data.train_labels)
    return (
        ((images[picked], labels[picked]) for picked in map(ddp.share, order.split(spec.batch_size)))
        for order in torch.from_numpy(orders)
    )


def native_data(spec: RunSpec, data: FashionMnist) -> Iterator[Batches]:
    """Return each epoch's batches as in the documentation: a Dataset, which a DataLoader shuffles."""
    dataset = ImageDataset(data.train_images, data.train_labels)
    if ddp.replicas() > 1:
        return ddp.native_batches(spec, dataset)
    loader = DataLoader(dataset, spec.batch_size, shuffle=True)
    return repeat(loader, spec.epochs)


def tensors(spec: RunSpec, images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return images (n, 1, 28, 28), with the same values as in every framework, and labels int64 (n,)."""
    scaled = torch.from_numpy(scale(images, spec.dtype)).permute(0, 3, 1, 2).contiguous()
    return scaled, torch.from_numpy(labels.astype(np.int64))


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Grey images with a channel axis, scaled to [0, 1], and their labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = torch.tensor(images, dtype=torch.float32).unsqueeze(1) / 255
        self.labels = torch.tensor(labels, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


def train_epoch(
    model: nn.Module,
    batches: Batches,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    after_step: Callable[[], None],
    loss_weights: Iterable[Tensor | None] = repeat(None),
) -> tuple[float, float]:
    """Train on each batch once; return mean loss and accuracy over the images during training.

    Each batch's loss is multiplied by its weight; None is 1.
    """
    device = next(model.parameters()).device
    means = Means(device)
    model.train()
    for (images, labels), weight in zip(on_device(batches, device), loss_weights, strict=False):
        optimizer.zero_grad()
        logits = model(images)
        loss = loss_function(logits, labels)
        loss.backward(weight)
        optimizer.step()
        means.add(loss, logits, labels)
        after_step()
    return means.result()


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, loss_function: nn.Module) -> tuple[float, float]:
    """Return mean loss and accuracy over all images; no weight changes."""
    device = next(model.parameters()).device
    means = Means(device)
    model.eval()
    for images, labels in on_device(batches, device):
        logits = model(images)
        means.add(loss_function(logits, labels), logits, labels)
    return means.result()


def on_device(batches: Batches, device: torch.device) -> Batches:
    """Return the batches; each is moved to `device` when it is used."""
    return ((images.to(device), labels.to(device)) for images, labels in batches)


class Means:
    """Mean loss and accuracy over all replicas' images. Sums stay on the device, so no batch waits for the host."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.images = 0

    @torch.no_grad()
    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add one batch, given its mean loss. A replica's share may be empty; its mean is then ignored."""
        if len(labels) == 0:
            return
        self.loss += loss * len(labels)
        self.correct += (logits.argmax(dim=1) == labels).sum()
        self.images += len(labels)

    def result(self) -> tuple[float, float]:
        """Return mean loss and accuracy."""
        loss, correct, images = ddp.summed(self.loss, self.correct, self.loss.new_tensor(self.images))
        return loss / images, correct / images


@torch.no_grad()
def predicted_classes(model: nn.Module, batches: Batches) -> np.ndarray:
    """Return the class with the largest logit for each image: uint8 (n,)."""
    device = next(model.parameters()).device
    model.eval()
    return torch.cat([model(images.to(device)).argmax(dim=1) for images, _ in batches]).cpu().numpy().astype(np.uint8)


def callbacks(
    spec: RunSpec, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, writes: bool = True
) -> tuple[ModelCheckpoint | None, ReduceLROnPlateau | None, EarlyStopping | None]:
    """Return the requested callbacks; all watch the test loss. Only a process that `writes` saves weights."""
    return (
        ModelCheckpoint(model, folder / CHECKPOINT) if spec.checkpoint and writes else None,
        ReduceLROnPlateau(optimizer, spec.reduce_lr) if spec.reduce_lr is not None else None,
        EarlyStopping(spec.early_stopping) if spec.early_stopping is not None else None,
    )


def epoch_row(
    epoch: int,
    optimizer: torch.optim.Optimizer,
    trained_on: tuple[float, float],
    tested_on: tuple[float, float],
    train_seconds: float,
    eval_seconds: float,
) -> EpochRow:
    """Return the epoch's row, given mean loss and accuracy over its training and its test images."""
    return EpochRow(
        epoch=epoch,
        train_loss=trained_on[0],
        train_accuracy=trained_on[1],
        test_loss=tested_on[0],
        test_accuracy=tested_on[1],
        learning_rate=optimizer.param_groups[0]["lr"],
        train_seconds=train_seconds,
        eval_seconds=eval_seconds,
    )


class Steps:
    """Counts the optimiser's steps. The first ends the `compile` stage; `on_step` gets the weights after each."""

    def __init__(self, model: nn.Module, stopwatch: Stopwatch, on_step: Callable[[Weights], None] | None) -> None:
        self.model, self.stopwatch, self.on_step = model, stopwatch, on_step
        self.number = 0

    def taken(self) -> None:
        """Count one step."""
        self.number += 1
        self.stopwatch.first_step()
        if self.on_step is not None:
            self.on_step(get_weights(self.model))
