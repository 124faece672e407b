"""A study: the runs of a plan, their order, and whether two plans are the same study."""

import itertools
import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from runners.core.errors import BadInput
from runners.core.frameworks import ARTICLE, strategy_of
from runners.core.record import Machine, Sha256
from runners.core.spec import MAX_SEEDS, Contender, Frozen, Job, LrRule, RunSpec, Scaling, Seed, Settings, Track, Vary


class Plan(Settings):
    """The contenders, tracks and seeds to compare, and the verdicts' margins and target, declared before any run."""

    contenders: tuple[Contender, ...] = Field(min_length=1)
    tracks: tuple[Track, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1, max_length=MAX_SEEDS)
    vary: Vary = "all"  # what a run's seed decides; the plan's first seed decides the rest
    scaling: Scaling = "strong"  # batch_size is for all replicas together; in weak for each
    lr_rule: LrRule = "none"  # how the learning rate follows the batch size in weak scaling
    accuracy_margin: float = Field(default=0.005, gt=0, lt=1)  # half a percentage point
    time_margin: float = Field(default=1.05, gt=1, allow_inf_nan=False)  # a ratio: 5 %
    # A ratio too, since a loss has no unit for a margin.
    loss_margin: float = Field(default=1.05, gt=1, allow_inf_nan=False)
    target_accuracy: float | None = Field(default=None, gt=0, le=1)  # on the test images; None: no time to it

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for name, values in (("contender", self.contenders), ("track", self.tracks), ("seed", self.seeds)):
            for value, times in Counter(values).items():
                if times > 1:
                    raise BadInput(f"{name} {value} is named twice: a run is counted once")
        return self

    @model_validator(mode="after")
    def _only_matched_varies_draws(self) -> Self:
        if self.vary != "all" and set(self.tracks) != {"matched"}:
            raise BadInput(
                f"--vary {self.vary} goes with --track matched alone, not {','.join(self.tracks)}: "
                "elsewhere initial weights and batch order are the framework's own"
            )
        return self

    @model_validator(mode="after")
    def _native_batch_divides(self) -> Self:
        for contender in self.contenders:
            batch_size = global_batch_size(self, contender)
            divides = strategy_of(contender.framework, contender.strategy).divides_native_batches
            if "native" in self.tracks and divides and batch_size % contender.replicas:
                raise BadInput(
                    f"{contender} in native needs a batch size that its {contender.replicas} replicas divide, not "
                    f"{batch_size}: there each draws its own batches, all of one size"
                )
        return self

    @model_validator(mode="after")
    def _rule_has_a_use(self) -> Self:
        if self.lr_rule != "none" and self.scaling == "strong":
            raise BadInput(
                f"--lr-rule {self.lr_rule} goes with --scaling weak: in strong scaling every contender has the same "
                "batch size, and so the same learning rate"
            )
        return self

    @model_validator(mode="after")
    def _weak_batches_fit_data(self) -> Self:
        for contender in self.contenders:
            if global_batch_size(self, contender) > self.limit_train:
                raise BadInput(
                    f"--scaling weak gives {contender} batches of {contender.replicas} times {self.batch_size} images, "
                    f"more than the {self.limit_train} training images; lower --batch-size or raise --limit-train"
                )
        return self


class Study(Frozen):
    """`study.json`: the plan, and all facts that must stay the same while its runs are done."""

    plan: Plan
    command: str
    begun_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    git_commit: str | None
    code_sha256: Sha256
    data_sha256: Sha256
    versions: dict[str, str]
    driver: Machine | None = None  # where the command was given; each record has its run's machine


def run_specs(plan: Plan) -> tuple[RunSpec, ...]:
    """Return every run of the plan: seed after seed, and within a seed in an order drawn from it.

    So no framework always goes first, and a study that is cut short is balanced over its finished seeds.
    """
    specs: list[RunSpec] = []
    earlier = Counter[tuple[Seed, Seed]]()  # runs of each contender and track with the same draws
    for seed in plan.seeds:
        draws = _draws(plan, seed)
        drawn = {"init_seed": draws[0], "order_seed": draws[1], "repeat": earlier[draws]}
        earlier[draws] += 1
        grid = list(itertools.product(plan.contenders, plan.tracks))
        shuffled = np.random.default_rng(seed).permutation(len(grid))
        ordered = (grid[index] for index in shuffled)
        specs += [RunSpec(contender=c, track=t, seed=seed, **drawn, **settings_of(plan, c)) for c, t in ordered]
    return tuple(specs)


def settings_of(plan: Plan, contender: Contender) -> dict[str, Any]:
    """Return the plan's settings with the batch size and learning rate for a contender's replicas."""
    shared = {name: getattr(plan, name) for name in Settings.model_fields}
    batch_size = global_batch_size(plan, contender)
    rate = plan.optimizer.learning_rate * (batch_size / plan.batch_size) ** _RATE_EXPONENTS[plan.lr_rule]
    return {
        **shared,
        "batch_size": batch_size,
        "optimizer": plan.optimizer.model_copy(update={"learning_rate": rate}),
    }


def global_batch_size(plan: Plan, contender: Contender) -> int:
    """Return images a step over all replicas. In weak scaling each replica has the plan's batch size."""
    return plan.batch_size * (contender.replicas if plan.scaling == "weak" else 1)


# A batch k times as large multiplies the learning rate by k to this power. Linear: Goyal et al. 2017 (Accurate, Large
# Minibatch SGD), for gradient descent. Square root: Krizhevsky 2014 (One Weird Trick), and for Adam Malladi et al. 2022
# (On the SDEs and Scaling Rules for Adaptive Gradient Algorithms), who also change beta and epsilon; here they stay.
_RATE_EXPONENTS: dict[LrRule, float] = {"none": 0, "linear": 1, "sqrt": 0.5}


def _draws(plan: Plan, seed: Seed) -> tuple[Seed, Seed]:
    """Return the seeds of initial weights and of batch order for the run numbered `seed`."""
    first = plan.seeds[0]
    return seed if plan.vary in ("all", "init") else first, seed if plan.vary in ("all", "order") else first


def jobs(specs: Sequence[RunSpec]) -> list[Job]:
    """Group runs into jobs, which one process does together: today each run is its own job."""
    return [(spec,) for spec in specs]


def to_do(plan: Plan, recorded: Collection[str]) -> tuple[RunSpec, ...]:
    """Return the plan's runs that have no record yet."""
    return tuple(spec for spec in run_specs(plan) if spec.run_id not in recorded)


def continued(old: Study, new: Study) -> Study:
    """Return `old` with the added seeds of `new`, also in its command.

    Raises BadInput that names every difference if they are not the same study.
    """
    different = [f"{name} was {before}, now {now}" for name, before, now in differences(old, new)]
    if different:
        raise BadInput(f"this folder holds another study: {'; '.join(different)}; use another --out for a new one")
    begun = set(old.plan.seeds)
    added = tuple(seed for seed in new.plan.seeds if seed not in begun)
    if not added:
        return old
    plan = old.plan.model_copy(update={"seeds": old.plan.seeds + added})
    return old.model_copy(update={"plan": plan, "command": _with_seeds(old.command, plan.seeds)})


def _with_seeds(command: str, seeds: Sequence[Seed]) -> str:
    """Return the command for a study of these seeds, which repeats the whole study elsewhere."""
    words = shlex.split(command)
    others = [
        word
        for before, word in itertools.pairwise(["", *words])
        if "--seeds" not in (before, word) and not word.startswith("--seeds=")
    ]
    return shlex.join([*others, "--seeds", as_ranges(seeds)])


def as_ranges(seeds: Sequence[Seed]) -> str:
    """Return seeds in their order, in the form of `--seeds`: 0-4,9."""
    starts = [place for place, seed in enumerate(seeds) if place == 0 or seed != seeds[place - 1] + 1]
    runs = [seeds[start:end] for start, end in itertools.pairwise([*starts, len(seeds)])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 or len(seeds) == 1 else str(run[0]) for run in runs)


def differences(one: Study, other: Study) -> list[tuple[str, Any, Any]]:
    """Return name and both values of each difference, except in seeds, between two studies."""
    in_one, in_other = _comparable(one), _comparable(other)
    values = [(name, in_one.get(name), in_other.get(name)) for name in sorted(in_one.keys() | in_other.keys())]
    return [(name, here, there) for name, here, there in values if here != there]


def _comparable(study: Study) -> dict[str, Any]:
    """Return all facts that must not change, flat. Seeds may be added; command and time do not matter."""
    plan = study.plan.model_dump(mode="json", exclude={"seeds", "optimizer"})
    plan["contenders"], plan["tracks"] = " ".join(plan["contenders"]), ",".join(plan["tracks"])
    return {
        **plan,
        **study.plan.optimizer.model_dump(),
        **{f"version of {package}": version for package, version in study.versions.items()},
        "data": study.data_sha256[:12],
        "code": study.code_sha256[:12],
    }


# The article's study: the defaults of the command line.
DEFAULTS = Plan(contenders=tuple(map(Contender.model_validate, ARTICLE)), tracks=("matched",), seeds=tuple(range(5)))
