"""Evidence of one contender's matched training, made in a process of its own, for the parity audit.

It comes from the functions that a study's runs use; precision, data size and optimiser are settings.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lenet.data import TRAIN_IMAGES, FashionMnist
from lenet.network import Weights
from runners.core import environment
from runners.core.clock import Stopwatch
from runners.core.draws import initial_weights
from runners.core.memory import keep_freed_memory
from runners.core.runner import Inspector, Outcome, Runner, load_inspector, load_runner
from runners.core.scratch import scratch
from runners.core.spec import Contender, Frozen, RunSpec, Settings, Sgd
from runners.parity.defaults import Defaults, defaults

Level = Literal["quick", "full"]
Arrays = dict[str, np.ndarray]

SEED = 0
STEPS = 20
INSPECTED_IMAGES = 32  # images for which each layer's output is compared
FEED_EPOCHS = 2
SHORT_BATCH = 0.75  # of a whole one: the last batch of each short run, 96 images at a batch size of 128
QUICK_TEST_BATCHES = 8.125  # with a short last batch too
# So small that even in a whole epoch rounding grows by less than the audit allows.
MOMENTUM = Sgd(learning_rate=2**-5, momentum=0.9)
GRADIENT_RATE = 1024.0  # so large that a weight after the step is its gradient, to the last digits of float32


class Task(Frozen):
    """What a witness must show: its contender, settings and the level of the audit."""

    contender: Contender
    settings: Settings
    level: Level

    @property
    def images(self) -> int:
        """Return the images of STEPS steps, the last of them short."""
        return min(TRAIN_IMAGES, int(self.settings.batch_size * (STEPS - 1 + SHORT_BATCH)))

    @property
    def fed_images(self) -> int:
        """Return the images of a whole batch and a short one."""
        return min(TRAIN_IMAGES, int(self.settings.batch_size * (1 + SHORT_BATCH)))

    def spec(self, **changes: object) -> RunSpec:
        """Return a matched run of this contender with changed settings."""
        shared = {name: getattr(self.settings, name) for name in Settings.model_fields}
        plain = {"epochs": 1, "checkpoint": False, "early_stopping": None, "reduce_lr": None}
        return RunSpec(**{**shared, **plain, "contender": self.contender, "seed": SEED, **changes})


@dataclass(frozen=True)
class Witness:
    """A contender's evidence. Arrays are in neutral layout; `shown` has them by quantity and precision."""

    contender: str
    machine: str | None = None  # processor or GPU
    death: str | None = None  # why its process failed, if it did
    problem: str | None = None  # why its network is not the layer table's; then the rest is empty
    fed: tuple[tuple[np.ndarray, np.ndarray], ...] = ()  # images, labels of each batch of two epochs
    init_sha256: str | None = None
    order_sha256: str | None = None
    shown: dict[str, Arrays] = field(default_factory=dict)
    defaults: Defaults | None = None


def testify(task: Task, data: FashionMnist) -> Witness:
    """Return the evidence of a contender's matched run, made in this process, which must be fresh."""
    keep_freed_memory()
    framework, strategy = task.contender.framework, task.contender.strategy
    runner, inspector = load_runner(framework, "matched", strategy), load_inspector(framework, "matched", strategy)
    name, machine = str(task.contender), environment.cpu_model()
    before = inspector.process_settings()
    try:
        inspection = inspector.inspect_run(
            task.spec(epochs=FEED_EPOCHS, limit_train=task.fed_images),
            data.first(task.fed_images),
            data.test_images[:INSPECTED_IMAGES],
        )
    except ValueError as error:
        return Witness(name, machine, problem=str(error))
    chosen = defaults(inspector, task.spec(limit_train=task.fed_images), data.first(task.fed_images), before)
    at_rest = _at_rest(runner, task, data, "float64")
    shown = {
        "forward float32": inspection.block_outputs,
        "forward float64": _block_outputs(inspector, task, data),
        "loss float64": _loss(at_rest),
        "evaluation float64": _evaluation(at_rest),
        **_in_float32(runner, task, data),
        **_steps(runner, task, data),
        **(_whole_epochs(runner, task, data) if task.level == "full" else {}),
    }
    return Witness(
        name,
        at_rest.gpu_model or machine,
        fed=inspection.fed,
        init_sha256=at_rest.init_sha256,
        order_sha256=at_rest.order_sha256,
        shown=shown,
        defaults=chosen,
    )


def _block_outputs(inspector: Inspector, task: Task, data: FashionMnist) -> Arrays:
    spec = task.spec(dtype="float64", limit_train=task.fed_images)
    return inspector.inspect_run(spec, data.first(task.fed_images), data.test_images[:INSPECTED_IMAGES]).block_outputs


def _at_rest(runner: Runner, task: Task, data: FashionMnist, dtype: str) -> Outcome:
    """Train an epoch that moves no weight: losses and accuracies are of the initial weights, also on short batches."""
    spec = task.spec(dtype=dtype, limit_train=task.fed_images, optimizer=Sgd(learning_rate=0))
    tests = len(data.test_labels) if task.level == "full" else int(spec.batch_size * QUICK_TEST_BATCHES)
    outcome, _ = _train(runner, spec, data, tests)
    return outcome


def _loss(outcome: Outcome) -> Arrays:
    row = outcome.epochs[0]
    return {"train loss": np.array(row.train_loss), "train accuracy": np.array(row.train_accuracy)}


def _evaluation(outcome: Outcome) -> Arrays:
    row = outcome.epochs[0]
    figures = {"test loss": np.array(row.test_loss), "test accuracy": np.array(row.test_accuracy)}
    return {**figures, "predictions": outcome.predictions}


def _in_float32(runner: Runner, task: Task, data: FashionMnist) -> dict[str, Arrays]:
    """Return what float32 can show, of one step only: later, rounding can flip a ReLU and the runs diverge."""
    one = {"limit_train": min(task.settings.batch_size, TRAIN_IMAGES)}
    steep = task.spec(**one, optimizer=Sgd(learning_rate=GRADIENT_RATE))
    outcome, weights = _train(runner, steep, data)
    shown = {
        "loss float32": _loss(outcome),
        "gradient float32": _gradient(weights[0], outcome),
    }
    if task.level == "full":
        _, adam = _train(runner, task.spec(**one), data)
        shown["one step float32"] = _moved(adam[0])
        shown["evaluation float32"] = _evaluation(_at_rest(runner, task, data, "float32"))
    return shown


def _steps(runner: Runner, task: Task, data: FashionMnist) -> dict[str, Arrays]:
    """Return, in float64, the first gradient, the first step, and the weights after STEPS steps by optimiser."""
    short = task.spec(dtype="float64", limit_train=task.images)
    outcome, sgd = _train(runner, short.model_copy(update={"optimizer": MOMENTUM}), data)
    _, adam = _train(runner, short, data)
    return {
        "gradient float64": _gradient(sgd[0], outcome),  # there is no velocity yet, so momentum has no effect
        "one step float64": _moved(adam[0]),
        "steps Adam float64": _moved(adam[-1]),
        "steps SGD float64": _moved(sgd[-1]),
        "steps taken": {"Adam": np.array(len(adam)), "SGD": np.array(len(sgd))},
    }


def _whole_epochs(runner: Runner, task: Task, data: FashionMnist) -> dict[str, Arrays]:
    shown: dict[str, Arrays] = {}
    whole = task.spec(dtype="float64", limit_train=TRAIN_IMAGES)
    for name, optimizer in (("Adam", whole.optimizer), ("SGD", MOMENTUM)):
        spec = whole.model_copy(update={"optimizer": optimizer})
        outcome, weights = _train(runner, spec, data, len(data.test_labels), last_only=True)
        shown[f"epoch {name} float64"] = {**_moved(weights[-1]), **_loss(outcome), **_evaluation(outcome)}
    return shown


def _train(
    runner: Runner, spec: RunSpec, data: FashionMnist, tests: int | None = None, *, last_only: bool = False
) -> tuple[Outcome, list[Weights]]:
    """Do a run with `tests` test images, by default one batch; return its weights after each step or the last one."""
    weights: list[Weights] = []

    def on_step(current: Weights) -> None:
        if last_only:
            weights.clear()
        weights.append({name: array.copy() for name, array in current.items()})

    with scratch() as folder:
        less = data.first(spec.limit_train, tests or spec.batch_size)
        outcome = runner.train(spec, less, Stopwatch(), lambda _: None, folder, on_step)
    return outcome, weights


def _moved(weights: Weights) -> Arrays:
    start = initial_weights(SEED)
    return {name: array - start[name] for name, array in weights.items()}


def _gradient(weights: Weights, outcome: Outcome) -> Arrays:
    """Return the first batch's gradient, from one step of plain gradient descent and its learning rate."""
    rate = outcome.epochs[0].learning_rate
    return {name: -moved / rate for name, moved in _moved(weights).items()}
