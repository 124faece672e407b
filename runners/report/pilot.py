"""A study that is to reach a precision: its pilot decides once how many runs that takes, and one top-up does them.

Nobody looks in between: how many runs there are depends on the spread of the pilot alone, so that the intervals of the
means keep their level (Stein 1945, A two-sample test for a linear hypothesis whose power is independent of the
variance).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from lenet.data import TEST_IMAGES
from runners.core.errors import BadInput
from runners.core.spec import MAX_SEEDS, Frozen, Seed
from runners.core.store import read_kept, write_atomically
from runners.core.study import Plan
from runners.report.statistics.means import stein_interval, stein_runs

FILE = "pilot.json"
FEWEST_RUNS = 5  # of a pilot: with less its own spread is hardly known
FINEST = 1 / (TEST_IMAGES * MAX_SEEDS)  # no mean accuracy comes in smaller steps


class Pilot(Frozen):
    """What a pilot decided."""

    seeds: tuple[Seed, ...]
    # Of the mean test accuracy's 95 % interval, a fraction.
    half_width: float = Field(ge=FINEST, lt=1)
    runs: int = Field(ge=FEWEST_RUNS, le=MAX_SEEDS)  # of each contender and track, all those of the pilot among them

    @model_validator(mode="after")
    def _has_its_seeds(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds) or self.runs < len(self.seeds):
            raise BadInput(f"{self.runs} runs do not have the pilot's {len(self.seeds)} seeds among them, each once")
        return self


def decide(folder: Path, plan: Plan, accuracies: Mapping[str, np.ndarray], half_width: float) -> Pilot:
    """The folder's pilot; where it has none, the runs so far become it, and how many it takes is kept.

    `accuracies` are those of the completed runs, of shape (runs,), by contender and track as in "torch, matched". The
    contender that lacks the most completed runs decides; runs of the pilot that did not complete come on top. Raises
    BadInput for a pilot too small, for more runs than a study has, or if the folder was extended to another half-width
    already; then nothing is kept.
    """
    known = kept(folder)
    if known:
        if known.half_width != half_width:
            raise BadInput(
                f"{folder} goes by its pilot to a half-width of {known.half_width:g}; to decide again after looking "
                f"would be peeking: use --until-half-width {known.half_width:g}, or a new study"
            )
        return known
    names = [f"{contender}, {track}" for track in plan.tracks for contender in plan.contenders]
    of_each = {name: accuracies.get(name, np.empty(0)) for name in names}
    few = [f"{name} has {len(values)}" for name, values in of_each.items() if len(values) < FEWEST_RUNS]
    if few:
        raise BadInput(f"a pilot takes {FEWEST_RUNS} completed runs of each contender, but {'; '.join(few)}")
    lacking = max((stein_runs(values, half_width) or 0) - len(values) for values in of_each.values())
    if len(plan.seeds) + lacking > MAX_SEEDS:
        raise BadInput(
            f"--until-half-width {half_width:g} takes {len(plan.seeds) + lacking:,} runs of each contender, and a "
            f"study has at most {MAX_SEEDS:,}; ask for a larger one"
        )
    now = Pilot(seeds=plan.seeds, half_width=half_width, runs=len(plan.seeds) + lacking)
    write_atomically(folder / FILE, now.model_dump_json(indent=2).encode())
    return now


def check_half_width(half_width: float) -> None:
    """Raise BadInput for a half-width that no mean accuracy can have."""
    if not FINEST <= half_width < 1:
        raise BadInput(f"--until-half-width must be from {FINEST:g} to less than 1, not {half_width:g}")


def kept(folder: Path) -> Pilot | None:
    """What the folder's pilot decided, or None if it has none; raises BadInput for a damaged one."""
    return read_kept(folder / FILE, Pilot, "delete it only if no run was added since")


def decided(folder: Path) -> Pilot:
    """What the folder's pilot decided; raises BadInput if it has none, or a damaged one."""
    known = kept(folder)
    if known is None:
        raise BadInput(f"{folder} has no {FILE}: scripts/seed_variance.py --until-half-width makes it")
    return known


def topped_up(seeds: Sequence[Seed], runs: int) -> tuple[Seed, ...]:
    """The seeds, and the smallest others up to so many."""
    used = set(seeds)
    others = (seed for seed in range(runs + len(used)) if seed not in used)
    return (*seeds, *(next(others) for _ in range(runs - len(seeds))))


def reached(name: str, of_pilot: np.ndarray, of_top_up: np.ndarray) -> str:
    """The sentence on a contender's mean test accuracy over pilot and top-up, with its interval."""
    low, high = stein_interval(of_pilot, of_top_up) or (np.nan, np.nan)
    mean, runs = np.concatenate([of_pilot, of_top_up]).mean(), len(of_pilot) + len(of_top_up)
    return (
        f"{name}: mean test accuracy {mean:.4f} [{low:.4f}, {high:.4f}] over {runs} runs, {len(of_pilot)} of them the "
        "pilot (95 % interval of Stein's two stages)."
    )
