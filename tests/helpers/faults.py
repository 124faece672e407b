"""Unfairness to plant: what to change in a copy of the project, and which check of the audit must name it.

The first fault of each check is planted in `make test`, the others in `make test-thorough`.
"""

from dataclasses import dataclass
from pathlib import Path

MODEL = {"keras": "lenet/keras_model.py", "torch": "lenet/torch_model.py"}
RUNNER = {"keras": "runners/keras/runner.py", "torch": "runners/torch/runner.py"}
OPTIMIZERS = "runners/torch/optimizers.py"
TORCH_FEED = "((images[picked], labels[picked]) for picked in map(ddp.share, order.split(spec.batch_size)))"
TORCH_DENSE2 = "x = torch.relu(self.dense2(x))"
KERAS_OPTIMIZER = "OPTIMIZERS[spec.optimizer.name](**spec.optimizer.model_dump())"


@dataclass(frozen=True)
class Fault:
    """A change of text in one file, on one framework's side; every pair of old and new text must fit once."""

    name: str
    framework: str
    path: str
    changes: tuple[tuple[str, str], ...]
    check: str  # the first that must fail
    says: str  # something its finding must say
    trains: bool = True  # whether it shows only once something is trained

    def plant(self, project: Path) -> None:
        file = project / self.path
        text = file.read_text()
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.name}: {old!r} is {text.count(old)} times in {self.path}"
            text = text.replace(old, new)
        file.write_text(text)


def in_torch(name: str, path: str, *changes: tuple[str, str], check: str, says: str, trains: bool = True) -> Fault:
    return Fault(name, "torch", path, changes, check, says, trains)


def in_keras(name: str, path: str, *changes: tuple[str, str], check: str, says: str, trains: bool = True) -> Fault:
    return Fault(name, "keras", path, changes, check, says, trains)


FAULTS = (
    in_torch(
        "an extra ReLU on the logits",
        MODEL["torch"],
        ("return self.logits(x)", "return torch.relu(self.logits(x))"),
        check="forward",
        says="logits is the first",
        trains=False,
    ),
    in_keras(
        "same padding",
        MODEL["keras"],
        ('layers.Conv2D(16, 5, activation="relu",', 'layers.Conv2D(16, 5, activation="relu", padding="same",'),
        check="architecture",
        says="dense1/kernel has shape (576, 120)",
        trains=False,
    ),
    in_torch(
        "a missing bias",
        MODEL["torch"],
        ("nn.Linear(84, 10)", "nn.Linear(84, 10, bias=False)"),
        check="architecture",
        says="the layer table has",
        trains=False,
    ),
    in_torch(
        "another initialiser",
        "runners/core/draws.py",
        ("sqrt(6 / sum(layer.fans))", "sqrt(6 / layer.fans[0])"),
        check="initial weights",
        says="SHA-256",
    ),
    in_torch(
        "the flatten permutation left out",
        "runners/torch/weights.py",
        ('if name == "dense1.weight" and array.shape[1] == prod(FLATTEN_SHAPE):', "if False:"),
        ('if name == "dense1.weight":', "if False:"),
        check="forward",
        says="dense1 is the first",
        trains=False,
    ),
    in_torch(
        "a learning rate 1 % off",
        OPTIMIZERS,
        ("torch.tensor(adam.learning_rate).item()", "torch.tensor(adam.learning_rate).item() * 1.01"),
        check="one step",
        says="the optimiser",
    ),
    in_torch(
        "PyTorch's own place for epsilon",
        OPTIMIZERS,
        ('group["eps"] = self._epsilon / own_2', 'group["eps"] = self._epsilon'),
        check="one step",
        says="the optimiser",
    ),
    in_torch(
        "a momentum of 0.91 for 0.9",
        OPTIMIZERS,
        ("momentum=_float32(settings.momentum)", "momentum=_float32(settings.momentum + 0.01)"),
        check="20 steps, SGD",
        says="from step to step",
    ),
    in_torch(
        "a weight decay of 1e-4",
        OPTIMIZERS,
        ("fused=True)", "fused=True, weight_decay=1e-4)"),
        check="one step",
        says="the optimiser",
    ),
    in_torch(
        "the last batch dropped",
        RUNNER["torch"],
        (TORCH_FEED, TORCH_FEED[:-1] + " if len(picked) == spec.batch_size)"),
        check="batch order",
        says="batch 2 is not the one drawn",
        trains=False,
    ),
    in_torch(
        "losses averaged over batches",
        RUNNER["torch"],
        ("self.loss += loss * len(labels)", "self.loss += loss; self.batches = getattr(self, 'batches', 0) + 1"),
        ("loss / images,", "loss / self.batches,"),
        check="loss",
        says="averaged over images",
    ),
    in_torch(
        "another shuffle",
        "runners/core/draws.py",
        (".permutation(images)", ".permutation(images)[::-1]"),
        check="batch order",
        says="batch 1 is not the one drawn",
        trains=False,
    ),
    in_torch(
        "the order of one epoch reused",
        "runners/core/draws.py",
        ("spawn_key=(_ORDER, epoch)", "spawn_key=(_ORDER, 0)"),
        check="batch order",
        says="batch 3 is not the one drawn",
        trains=False,
    ),
    in_torch(
        "labels shifted by one",
        RUNNER["torch"],
        ("torch.from_numpy(labels.astype(np.int64))", "torch.from_numpy((labels.astype(np.int64) + 1) % 10)"),
        check="data",
        says="is fed with label",
        trains=False,
    ),
    in_torch(
        "images scaled by 256",
        "lenet/data.py",
        ("np.divide(images[..., np.newaxis], 255", "np.divide(images[..., np.newaxis], 256"),
        check="data",
        says="it reaches from 0 to 0.996094",
        trains=False,
    ),
    in_torch(
        "evaluation without the short last batch, over 9,984 images",
        RUNNER["torch"],
        ("strict=True))\n", "strict=True))\n    test_batches = [b for b in test_batches if len(b[1]) == 128]\n"),
        check="evaluation",
        says="test loss is the first",
    ),
    in_torch(
        "average pooling",
        MODEL["torch"],
        ("nn.MaxPool2d(2)", "nn.AvgPool2d(2)"),
        check="forward",
        says="conv1 is the first",
        trains=False,
    ),
    in_torch(
        "a layer rounded to bfloat16",
        MODEL["torch"],
        (TORCH_DENSE2, f"{TORCH_DENSE2}.bfloat16().to(x.dtype)"),
        check="forward",
        says="dense2 is the first",
        trains=False,
    ),
    in_torch(
        "a layer's input rounded to ten bits, as TF32 does",
        MODEL["torch"],
        (TORCH_DENSE2, "x = torch.relu(self.dense2(x.half().to(x.dtype)))"),
        check="forward",
        says="dense1 is the first",
        trains=False,
    ),
    in_torch(
        "a gradient clipped",
        RUNNER["torch"],
        ("loss.backward(weight)\n", "loss.backward(weight); nn.utils.clip_grad_norm_(model.parameters(), 0.01)\n"),
        check="gradient",
        says="clipping",
    ),
    in_torch(
        "the seventh step skipped",
        RUNNER["torch"],
        ("        optimizer.step()\n", "        if means.images != 6 * 128:\n            optimizer.step()\n"),
        check="20 steps, Adam",
        says="from step to step",
    ),
    in_torch(
        "dropout left in",
        MODEL["torch"],
        (TORCH_DENSE2, "x = nn.functional.dropout(torch.relu(self.dense2(x)), 0.1, self.training)"),
        check="forward",
        says="dense2 is the first",
        trains=False,
    ),
    in_torch(
        "batches of 127",
        RUNNER["torch"],
        (TORCH_FEED, TORCH_FEED.replace("spec.batch_size", "spec.batch_size - 1")),
        check="batch order",
        says="127 images",
        trains=False,
    ),
    in_torch(
        "a process that raises",
        RUNNER["torch"],
        ("        loss.backward(weight)\n", "        raise RuntimeError('out of order')\n"),
        check="process",
        says="out of order",
    ),
    in_keras(
        "the last step of each epoch left out",
        RUNNER["keras"],
        ('": ceil(orders.shape[1] / spec.batch_size)', '": orders.shape[1] // spec.batch_size'),
        check="batch order",
        says="19 steps were taken",
    ),
    in_keras(
        "a gradient clipped in Keras",
        RUNNER["keras"],
        (KERAS_OPTIMIZER, KERAS_OPTIMIZER[:-1] + ", clipnorm=0.01)"),
        check="gradient",
        says="clipping",
    ),
    in_keras(
        "a weight decay of 1e-4 in Keras",
        RUNNER["keras"],
        (KERAS_OPTIMIZER, KERAS_OPTIMIZER[:-1] + ", weight_decay={'adam': 1e-4}.get(spec.optimizer.name))"),
        check="one step",
        says="the optimiser",
    ),
)  # fmt: skip
IN_FAST = tuple({fault.check: fault for fault in reversed(FAULTS)}.values())
