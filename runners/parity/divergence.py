"""How fast two trainings from the same start diverge: two frameworks, and one framework with other threads.

Another number of threads only changes the order of sums. If a framework then diverges from itself as fast as from
another framework, rounding is the cause, not the framework.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lenet.data import FashionMnist
from lenet.network import Weights
from runners.core.clock import Stopwatch
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS
from runners.core.memory import keep_freed_memory
from runners.core.record import Distance
from runners.core.runner import load_runner
from runners.core.scratch import scratch
from runners.core.spec import Contender, Frozen, RunSpec, Settings
from runners.core.store import read_kept, write_atomically
from runners.parity.checks import pairs

FILE = "divergence.json"
DTYPES: tuple[Literal["float32", "float64"], ...] = ("float32", "float64")
POINTS = 120  # most steps of an epoch that are compared, evenly on a logarithmic axis
PARTED = 1e-3  # relative to the norm; weights further apart differ by more than rounding


class Walk(Frozen):
    """One epoch of a contender, with its settings, whose weights are followed."""

    contender: Contender
    settings: Settings

    def spec(self, dtype: str) -> RunSpec:
        """Return the matched run to train."""
        shared = {name: getattr(self.settings, name) for name in Settings.model_fields}
        return RunSpec(**{**shared, "contender": self.contender, "epochs": 1, "checkpoint": False, "dtype": dtype})

    @property
    def name(self) -> str:
        """Return the contender with its number of threads."""
        threads = self.settings.threads
        return f"{self.contender}, {threads} thread{'s' if threads > 1 else ''}"

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the steps whose weights are kept, 1-based, with the last one."""
        last = ceil(self.settings.limit_train / self.settings.batch_size)
        return tuple(np.unique(np.geomspace(1, last, POINTS).round().astype(int)).tolist())


@dataclass(frozen=True)
class Trace:
    """A walk's weights by precision: float64 (kept steps, parameters)."""

    name: str
    weights: dict[str, np.ndarray]


class Line(Frozen):
    """Distance of two walks after each kept step: the norm of the difference, relative to the norm of b."""

    a: str
    b: str
    framework: str | None  # if both are one contender's; None between contenders
    precision: Literal["float32", "float64"]
    distances: tuple[Distance, ...]

    @model_validator(mode="after")
    def _is_of_a_framework(self) -> Self:
        if self.framework is not None and self.framework not in FRAMEWORKS:
            raise BadInput(f"unknown framework {self.framework!r}: choose from {', '.join(FRAMEWORKS)}")
        return self

    def parted_at(self, steps: Sequence[int]) -> float:
        """Return the first step after which the distance is above PARTED; infinity if there is none."""
        return next((step for step, apart in zip(steps, self.distances, strict=True) if not apart <= PARTED), inf)


class Divergence(Frozen):
    """`divergence.json`: distances after `steps`, one line a pair and precision."""

    steps: tuple[int, ...] = Field(min_length=1)
    lines: tuple[Line, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_line_has_its_steps(self) -> Self:
        ordered = all(0 < step < later for step, later in pairwise([*self.steps, inf]))
        if not ordered or any(len(line.distances) != len(self.steps) for line in self.lines):
            raise BadInput("steps do not count up from 1, or a line has another number of them")
        return self

    def parted(self, precision: str, *, within: bool) -> dict[tuple[str, str], float]:
        """Return each pair's first step above PARTED: within one contender, or between two."""
        chosen = (x for x in self.lines if (x.precision, x.framework is not None) == (precision, within))
        return {(line.a, line.b): line.parted_at(self.steps) for line in chosen}


def walks(contenders: Sequence[Contender], settings: Settings) -> list[Walk]:
    """Return two walks a contender: with the study's number of threads and with twice as many."""
    doubled = settings.model_copy(update={"threads": 2 * settings.threads})
    return [Walk(contender=c, settings=s) for c in contenders for s in (settings, doubled)]


def follow(walk: Walk, data: FashionMnist) -> Trace:
    """Train a contender for an epoch in each precision, in this process, which must be fresh."""
    keep_freed_memory()
    return Trace(walk.name, {dtype: _weights(walk, dtype, data) for dtype in DTYPES})


def _weights(walk: Walk, dtype: str, data: FashionMnist) -> np.ndarray:
    spec, wanted = walk.spec(dtype), set(walk.steps)
    step, kept = 0, []

    def on_step(weights: Weights) -> None:
        nonlocal step
        step += 1
        if step in wanted:
            kept.append(np.concatenate([array.ravel() for array in weights.values()]).astype(np.float64))

    with scratch() as folder:
        runner = load_runner(walk.contender.framework, "matched", walk.contender.strategy)
        less = data.first(spec.limit_train, spec.batch_size)  # its evaluation is not used
        runner.train(spec, less, Stopwatch(), lambda _: None, folder, on_step)
    return np.stack(kept)


def divergence(walked: Sequence[Walk], traces: Sequence[Trace]) -> Divergence:
    """Return distances between the contenders of each pair, and of each contender with other threads.

    `walked` is in the order of `walks`.
    """
    by_name = {trace.name: trace for trace in traces}
    contenders = list(dict.fromkeys(walk.contender for walk in walked))
    plain, doubled = ({str(walk.contender): walk.name for walk in walked[first::2]} for first in (0, 1))
    across = [(plain[a], plain[b], None) for a, b in pairs(contenders)]
    within = [(plain[str(c)], doubled[str(c)], c.framework) for c in contenders]
    lines = [
        Line(a=a, b=b, framework=framework, precision=dtype, distances=_apart(by_name[a], by_name[b], dtype))
        for a, b, framework in (*across, *within)
        for dtype in DTYPES
    ]
    return Divergence(steps=walked[0].steps, lines=tuple(lines))


def _apart(a: Trace, b: Trace, dtype: str) -> tuple[float, ...]:
    of_a, of_b = a.weights[dtype], b.weights[dtype]
    return tuple((np.linalg.norm(of_a - of_b, axis=1) / np.linalg.norm(of_b, axis=1)).tolist())


def write(folder: Path, measured: Divergence) -> None:
    """Write divergence.json."""
    write_atomically(folder / FILE, measured.model_dump_json().encode())


def read(folder: Path) -> Divergence | None:
    """Return the folder's divergence, or None without one. Raises BadInput if it is damaged."""
    return read_kept(folder / FILE, Divergence, "delete it, and audit again to have it")
