"""Check by check, compare what the contenders showed in processes of their own.

The order of the checks makes a fault easy to locate: the first failed check says where to look.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lenet.data import FashionMnist, scale
from lenet.network import PARAMETER_COUNT
from runners.core.draws import batch_orders, initial_weights, orders_sha256, weights_sha256
from runners.core.errors import BadInput
from runners.core.record import Distance, Finite, Seconds
from runners.core.spec import Contender, Frozen, Settings
from runners.core.store import read_kept, write_atomically
from runners.core.study import Study
from runners.parity.defaults import Defaults
from runners.parity.evidence import FEED_EPOCHS, SEED, STEPS, Arrays, Level, Task, Witness

FILE = "audit.json"

Precision = Literal["exact", "float32", "float64"]


class AuditRow(Frozen):
    """One check of one pair of contenders."""

    check: str
    precision: Precision
    a: str
    b: str
    measured: Distance  # largest relative difference of norms; in exact checks the number of faults
    allowed: Finite
    finding: str = ""  # the first difference and where to look; empty if the check holds

    @property
    def holds(self) -> bool:
        """Return whether the difference is allowed; NaN is not."""
        return self.measured <= self.allowed


class Audit(Frozen):
    """`audit.json`: whether contenders compute the same, on which machines and under which conditions."""

    level: Level
    rows: tuple[AuditRow, ...]
    machines: tuple[str, ...]  # their processors or GPUs
    conditions: dict[str, Any]  # the audit is valid only under these
    defaults: tuple[Defaults, ...] = ()  # each contender's default choices
    seconds: Seconds
    done_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        """Raise BadInput if no check failed and none in float64 was done."""
        if not self.failed and not any(row.precision == "float64" for row in self.rows):
            raise BadInput("an audit whose checks all hold has some in float64")
        return self

    @property
    def failed(self) -> tuple[AuditRow, ...]:
        """Return the failed checks; start with the first."""
        return tuple(row for row in self.rows if not row.holds)

    def is_of(self, study: Study) -> bool:
        """Return whether the audit is valid for this study's runs."""
        plan = study.plan
        return self.conditions == conditions(plan.contenders, plan, study.code_sha256, study.versions)

    @property
    def unmatched(self) -> frozenset[str]:
        """Return contenders that are not shown to compute the same as the first one.

        This includes contenders that were compared with an unmatched one: its own rows come before theirs.
        """
        names: set[str] = set()
        for row in self.rows:
            if not row.holds or row.a in names:
                names.add(row.b)
        return frozenset(names)


@dataclass(frozen=True)
class Check:
    """A comparison of two witnesses' arrays under `key`, and where to look if it fails."""

    name: str
    precision: Precision
    key: str
    allowed: float
    look_at: str


FLOAT64 = 1e-12
_MODELS = "its layer, activation, pooling, padding and precision in both files lenet/*_model.py"
_LOSS = "the loss and how it is averaged over images in runners/*/runner.py, and what only training mode does"
_UPDATE = "the optimiser in build in runners/*/runner.py, and in runners/*/optimizers.py where there is one"
_STEPS = f"what changes from step to step: {_UPDATE}"
_EVALUATION = "which images are evaluated, and how their losses are averaged, in runners/*/runner.py"
_EPOCH = "what only a long run does: the feed and the loop in runners/*/runner.py"
CHECKS = (
    Check("forward", "float32", "forward float32", 1e-5, _MODELS),
    Check("forward", "float64", "forward float64", FLOAT64, _MODELS),
    Check("loss", "float32", "loss float32", 1e-6, _LOSS),
    Check("loss", "float64", "loss float64", FLOAT64, _LOSS),
    Check("gradient", "float32", "gradient float32", 1e-5, "clipping, scaling and the loss in runners/*/runner.py"),
    Check("gradient", "float64", "gradient float64", FLOAT64, "clipping, scaling and the loss in runners/*/runner.py"),
    Check("one step", "float32", "one step float32", 1e-4, _UPDATE),
    Check("one step", "float64", "one step float64", FLOAT64, _UPDATE),
    Check(f"{STEPS} steps, Adam", "float64", "steps Adam float64", FLOAT64, _STEPS),
    Check(f"{STEPS} steps, SGD", "float64", "steps SGD float64", FLOAT64, _STEPS),
    Check("evaluation", "float32", "evaluation float32", 1e-5, _EVALUATION),
    Check("evaluation", "float64", "evaluation float64", FLOAT64, _EVALUATION),
    Check("whole epoch, Adam", "float64", "epoch Adam float64", FLOAT64, _EPOCH),
    Check("whole epoch, SGD", "float64", "epoch SGD float64", FLOAT64, _EPOCH),
)


def conditions(
    contenders: Sequence[Contender], settings: Settings, code_sha256: str, versions: dict[str, str]
) -> dict[str, Any]:
    """Return the conditions of an audit: code, versions and the settings that decide what a step computes."""
    kept = settings.model_dump(mode="json", include={"batch_size", "optimizer", "device", "threads", "deterministic"})
    return {
        **kept,
        "contenders": [str(contender) for contender in contenders],
        "code_sha256": code_sha256,
        "versions": versions,
    }


def pairs(contenders: Sequence[Contender]) -> list[tuple[str, str]]:
    """Return the pairs to compare: a strategy with its framework's single replica, all others with the first."""
    names = [str(contender) for contender in contenders]
    return [(names[0] if c.framework not in names[:i] else c.framework, str(c)) for i, c in enumerate(contenders) if i]


def compare(tasks: Sequence[Task], witnesses: Sequence[Witness], data: FashionMnist) -> tuple[AuditRow, ...]:
    """Return every check of every pair, in order. A dead process or another network ends a pair's checks."""
    by_name = {witness.contender: (task, witness) for task, witness in zip(tasks, witnesses, strict=True)}
    rows: list[AuditRow] = []
    for a, b in pairs([task.contender for task in tasks]):
        sides = [by_name[a], by_name[b]]
        rows += _exact_rows(sides, data)
        if all(witness.shown for _, witness in sides):
            rows += _compared_rows(sides[0][1], sides[1][1])
    return tuple(rows)


def _exact_rows(sides: list[tuple[Task, Witness]], data: FashionMnist) -> Iterator[AuditRow]:
    names = [witness.contender for _, witness in sides]
    for check, find, look_at in EXACT:
        faults = [f"{w.contender}: {fault}" for task, w in sides for fault in find(task, w, data)]
        finding = f"{faults[0]}; look at {look_at}" if faults else ""
        yield AuditRow(
            check=check, precision="exact", a=names[0], b=names[1], measured=len(faults), allowed=0, finding=finding
        )
        if faults and not all(witness.shown for _, witness in sides):
            return


def _no_witness(_task: Task, witness: Witness, _data: FashionMnist) -> list[str]:
    return [f"its process failed: {witness.death}"] if witness.death else []


def _wrong_architecture(_task: Task, witness: Witness, _data: FashionMnist) -> list[str]:
    return [witness.problem] if witness.problem else []


def _wrong_data(task: Task, witness: Witness, data: FashionMnist) -> list[str]:
    """Return faults of the batches: images that the scaled data set lacks, and labels that are not their images'."""
    index, labels = _index(task, data), data.train_labels
    wrong = []
    for images, given in witness.fed:
        for image, label in zip(images, given, strict=True):
            place = index.get(image.tobytes())
            if place is None:
                wrong.append(f"an image fed is not in the data; it reaches from {image.min():g} to {image.max():g}")
            elif label != labels[place]:
                wrong.append(f"image {place} is fed with label {label}, and is of class {labels[place]}")
    return wrong


def _wrong_weights(_task: Task, witness: Witness, _data: FashionMnist) -> list[str]:
    drawn = weights_sha256(initial_weights(SEED))
    if witness.init_sha256 == drawn:
        return []
    return [f"the weights at the start have SHA-256 {str(witness.init_sha256)[:12]}, those drawn {drawn[:12]}"]


def _wrong_order(task: Task, witness: Witness, data: FashionMnist) -> list[str]:
    size, images = task.settings.batch_size, task.fed_images
    orders = batch_orders(SEED, FEED_EPOCHS, images)
    drawn = [order[first : first + size].tolist() for order in orders for first in range(0, images, size)]
    index = _index(task, data)
    fed = [[index.get(image.tobytes()) for image in batch] for batch, _ in witness.fed]
    wrong = [
        f"batch {n} is not the one drawn ({_batch(got)} instead of {_batch(due)})"
        for n, (got, due) in enumerate(zip_longest(fed, drawn), start=1)
        if got != due
    ]
    if witness.order_sha256 != orders_sha256(orders[:1]):
        wrong.append("the order recorded has another SHA-256 than the one drawn")
    due = -(-task.images // size)
    wrong += [
        f"{int(taken)} steps were taken with {name} where {due} were due"
        for name, taken in witness.shown["steps taken"].items()
        if taken != due
    ]
    return wrong


def _batch(indices: list[int | None] | None) -> str:
    return "none" if indices is None else f"{len(indices)} images beginning with {indices[:3]}"


def _index(task: Task, data: FashionMnist) -> dict[bytes, int]:
    """Return each training image's place by its bytes after scaling."""
    scaled = scale(data.train_images[: task.fed_images])
    return {image.tobytes(): place for place, image in enumerate(scaled)}


EXACT: tuple[tuple[str, Callable[[Task, Witness, FashionMnist], list[str]], str], ...] = (
    ("process", _no_witness, "what it says; `scripts/train.py CONTENDER --epochs 1` does one run before your eyes"),
    (
        "architecture",
        _wrong_architecture,
        f"lenet/*_model.py; lenet/network.py has {PARAMETER_COUNT:,} parameters",
    ),
    ("data", _wrong_data, "matched_data in runners/*/runner.py, and scale in lenet/data.py"),
    (
        "initial weights",
        _wrong_weights,
        "build in runners/*/runner.py, set_weights in runners/*/weights.py, runners/core/draws.py",
    ),
    ("batch order", _wrong_order, "matched_data and batch_orders in runners/*/runner.py, runners/core/draws.py"),
)


def _compared_rows(a: Witness, b: Witness) -> Iterator[AuditRow]:
    for check in CHECKS:
        if check.key not in a.shown and check.key not in b.shown:
            continue
        distances = _distances(a.shown.get(check.key, {}), b.shown.get(check.key, {}))
        beyond = [name for name, distance in distances.items() if not distance <= check.allowed]
        first = f"{beyond[0]} is the first to differ, by {distances[beyond[0]]:.1e}" if beyond else ""
        yield AuditRow(
            check=check.name,
            precision=check.precision,
            a=a.contender,
            b=b.contender,
            measured=max(distances.values(), default=np.inf),
            allowed=check.allowed,
            finding=f"{first}; look at {check.look_at}" if beyond else "",
        )


def _distances(a: Arrays, b: Arrays) -> dict[str, float]:
    """Return for each array the Euclidean norm of a - b, relative to that of b; infinite if undefined."""
    return {name: _distance(a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])}


def _distance(a: np.ndarray | None, b: np.ndarray | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return np.inf
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.inf
    apart, size = np.linalg.norm(a.astype(float) - b.astype(float)), np.linalg.norm(b.astype(float))
    return float(apart / size) if size else float(apart and np.inf)


def write(folder: Path, audit: Audit) -> None:
    """Write audit.json."""
    write_atomically(folder / FILE, audit.model_dump_json(indent=2).encode())


def read(folder: Path) -> Audit | None:
    """Return the folder's audit, or None without one. Raises BadInput if it is damaged."""
    return read_kept(folder / FILE, Audit, "delete it, and it will be done again")
