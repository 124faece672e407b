"""The PyTorch side: the explicit loop, as its documentation teaches it. Read it beside keras/runner.py."""

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lenet.data import FashionMnist, scale
from lenet.network import Weights
from lenet.torch_model import LeNet5
from runners.core.clock import Stopwatch
from runners.core.draws import batch_orders, initial_weights, orders_sha256, weights_sha256
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS
from runners.core.record import EpochRow, Flag
from runners.core.runner import Outcome
from runners.core.spec import RunSpec
from runners.torch import replicas as ddp
from runners.torch.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from runners.torch.optimizers import matched_optimizer
from runners.torch.orders import noted_orders
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
    """Train LeNet-5 as `spec` says; the best weights are left in `folder`. `on_step` gets the weights of each step.

    Of several replicas each goes through this with its share of every batch; the outcome is that of all of them.
    """
    device = configure(spec)
    stopwatch.synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    model, optimizer, loss_function = build(spec, device)
    trained = ddp.replica(model)
    init_sha256 = weights_sha256(get_weights(model))
    stopwatch.lap("build")

    if spec.track == "matched":
        orders = batch_orders(spec.order_seed, spec.epochs, len(data.train_labels))
        epochs_of_batches, epoch_orders = matched_data(spec, data, orders), list(map(orders_sha256, orders))
        loss_weights = ddp.share_weights(len(data.train_labels), spec.batch_size, device)
    else:
        orders = None
        epochs_of_batches, epoch_orders = noted_orders(native_data(spec, data))
        loss_weights = repeat(None)
    test_images, test_labels = tensors(spec, ddp.share(data.test_images), ddp.share(data.test_labels))
    test_batches = list(zip(test_images.split(spec.batch_size), test_labels.split(spec.batch_size), strict=True))
    checkpoint = ModelCheckpoint(model, folder / CHECKPOINT) if spec.checkpoint and ddp.rank() == 0 else None
    reduce_lr = ReduceLROnPlateau(optimizer, spec.reduce_lr) if spec.reduce_lr is not None else None
    early_stopping = EarlyStopping(spec.early_stopping) if spec.early_stopping is not None else None
    stopwatch.lap("data")

    steps = 0

    def after_step() -> None:
        nonlocal steps
        steps += 1
        stopwatch.first_step()
        if on_step is not None:
            on_step(get_weights(model))

    rows: list[EpochRow] = []
    waits: list[ddp.Waited] = []
    for epoch, batches in enumerate(epochs_of_batches, start=1):
        train_loss, train_accuracy = train_epoch(trained, batches, loss_function, optimizer, after_step, loss_weights)
        train_seconds = stopwatch.lap("train")
        waits.append(ddp.waited(trained))
        test_loss, test_accuracy = evaluate(model, test_batches, loss_function)
        eval_seconds = stopwatch.lap("eval")
        row = EpochRow(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            learning_rate=optimizer.param_groups[0]["lr"],
            train_seconds=train_seconds,
            eval_seconds=eval_seconds,
        )
        rows.append(row)
        on_epoch(row)
        stopwatch.lap("other")
        if checkpoint is not None:
            checkpoint.step(test_loss)
            stopwatch.lap("checkpoint")
        if reduce_lr is not None:
            reduce_lr.step(test_loss)
        if row.diverged or (early_stopping is not None and early_stopping.step(test_loss)):
            break

    return Outcome(
        epochs=tuple(rows),
        predictions=ddp.gathered(predicted_classes(model, test_batches)),
        init_sha256=init_sha256,
        order_sha256=None if orders is None else orders_sha256(orders),
        epoch_orders_sha256=tuple(epoch_orders[: len(rows)]),
        steps=steps,
        nodes=ddp.nodes(),
        communication_share=ddp.communication_share(waits, rows, -(-len(data.train_labels) // spec.batch_size), device),
        **what_is_in_force(device, trained),
    )


def configure(spec: RunSpec) -> torch.device:
    """Threads, precision and determinism; returns the device to train on."""
    if spec.device == "gpu" and not torch.cuda.is_available():
        raise BadInput(f"torch {torch.__version__} sees no GPU; it needs a build with CUDA and one GPU assigned")
    ddp.check_group(spec.contender)
    torch.set_num_threads(spec.threads)
    if torch.get_num_interop_threads() != spec.threads:  # can be set only once in a process
        torch.set_num_interop_threads(spec.threads)
    if spec.track == "matched":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.set_flush_denormal(True)  # as TensorFlow's threads do; Adam's old moments would decay into slow denormals
    if spec.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    torch.set_default_dtype(getattr(torch, spec.dtype))
    torch.manual_seed(spec.seed)
    return torch.device("cuda" if spec.device == "gpu" else "cpu")


def build(spec: RunSpec, device: torch.device) -> tuple[LeNet5, torch.optim.Optimizer, nn.Module]:
    """Model, optimiser and loss: drawn weights and Keras's Adam in matched, PyTorch's own in native."""
    model = LeNet5()
    optimizer: torch.optim.Optimizer
    if spec.track == "matched":
        set_weights(model, initial_weights(spec.init_seed))
        # TensorFlow's memory layout, so that both convolve the same one. (torch's stubs do not know the argument.)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = matched_optimizer(model.to(device).parameters(), spec.optimizer)
    else:
        optimizer = torch.optim.Adam(model.to(device).parameters(), lr=spec.optimizer.learning_rate)
    return model, optimizer, nn.CrossEntropyLoss()


def matched_data(spec: RunSpec, data: FashionMnist, orders: np.ndarray) -> Iterator[Batches]:
    """Each epoch's batches in its drawn order, the short last one included; of each the share of this replica."""
    images, labels = tensors(spec, data.train_images, data.train_labels)
    return (
        ((images[picked], labels[picked]) for picked in map(ddp.share, order.split(spec.batch_size)))
        for order in torch.from_numpy(orders)
    )


def native_data(spec: RunSpec, data: FashionMnist) -> Iterator[Batches]:
    """Each epoch's batches as the documentation has them: a Dataset behind a shuffling DataLoader."""
    dataset = ImageDataset(data.train_images, data.train_labels)
    if ddp.replicas() > 1:
        return ddp.native_batches(spec, dataset)
    loader = DataLoader(dataset, spec.batch_size, shuffle=True)
    return repeat(loader, spec.epochs)


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Grey images with a channel axis, scaled to [0, 1], and their labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = torch.tensor(images, dtype=torch.float32).unsqueeze(1) / 255
        self.labels = torch.tensor(labels, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]


def tensors(spec: RunSpec, images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28), the same values as every matched contender's, and labels int64 (n,)."""
    scaled = torch.from_numpy(scale(images, spec.dtype)).permute(0, 3, 1, 2).contiguous()
    return scaled, torch.from_numpy(labels.astype(np.int64))


def train_epoch(
    model: nn.Module,
    batches: Batches,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    after_step: Callable[[], None],
    loss_weights: Iterable[Tensor | None] = repeat(None),
) -> tuple[float, float]:
    """One pass over the batches; mean loss and accuracy over its images, as they were when seen.

    Each loss counts with its weight, which is 1 where there is none.
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


def on_device(batches: Batches, device: torch.device) -> Batches:
    """The batches, each moved to `device` when its turn comes."""
    return ((images.to(device), labels.to(device)) for images, labels in batches)


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, loss_function: nn.Module) -> tuple[float, float]:
    """Mean loss and accuracy over all images, weights unchanged."""
    device = next(model.parameters()).device
    means = Means(device)
    model.eval()
    for images, labels in on_device(batches, device):
        logits = model(images)
        means.add(loss_function(logits, labels), logits, labels)
    return means.result()


class Means:
    """Mean loss and accuracy over all replicas' images, summed on the device so that no batch waits for the host."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.images = 0

    @torch.no_grad()
    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch; `loss` is its mean. A replica's share of a batch may be empty, and has no mean."""
        if len(labels) == 0:
            return
        self.loss += loss * len(labels)
        self.correct += (logits.argmax(dim=1) == labels).sum()
        self.images += len(labels)

    def result(self) -> tuple[float, float]:
        """Mean loss, accuracy."""
        loss, correct, images = ddp.summed(self.loss, self.correct, self.loss.new_tensor(self.images))
        return loss / images, correct / images


@torch.no_grad()
def predicted_classes(model: nn.Module, batches: Batches) -> np.ndarray:
    """The class with the largest logit of each image: uint8 (n,)."""
    device = next(model.parameters()).device
    model.eval()
    return torch.cat([model(images.to(device)).argmax(dim=1) for images, _ in batches]).cpu().numpy().astype(np.uint8)


def what_is_in_force(device: torch.device, model: nn.Module) -> dict[str, Any]:
    """Versions and flags, read back from PyTorch rather than repeated from the spec."""
    versions = {"torch": str(torch.__version__)}
    if device.type == "cuda":
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    flags = {
        **process_settings(),
        "flushes_denormals": (torch.tensor(1e-39) * 0.5).item() == 0,
        "onednn": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "jit_compile": is_compiled(model),
        **ddp.group_facts(),
    }
    gpu_model = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"versions": versions, "flags": flags, "gpu_model": gpu_model}


def is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile compiles the model, as a wrapper around it or in place."""
    return hasattr(model, "_orig_mod") or model._compiled_call_impl is not None


def process_settings() -> dict[str, Flag]:
    """What holds for the whole process."""
    return {
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
