"""How training scales with replicas: speed-up and efficiency of each contender against its framework's smallest one.

Strong scaling shares a batch of one size among the replicas; at best N of them take 1/N of the time, and what cannot be
shared bounds the speed-up (Amdahl 1967, Validity of the Single Processor Approach). Weak scaling gives every replica a
batch of that size, so that the work of a step grows with them (Gustafson 1988, Reevaluating Amdahl's Law).
"""

from collections.abc import Iterator
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import Contender
from runners.core.study import Plan, settings_of
from runners.report.comparisons import pairs_by_seed
from runners.report.statistics import mean_interval, ratio_comparison
from runners.report.verdict import SEEDS_FOR_A_VERDICT
from runners.report.wording import ABSENT, counted, number

COLUMNS = [
    *("framework", "contender", "strategy", "replicas", "track", "scaling", "lr_rule"),
    *("global_batch_size", "learning_rate", "n", "epoch_seconds", "epoch_seconds_ci95_low", "epoch_seconds_ci95_high"),
    *("images_per_second", "baseline", "paired", "n_compared", "speedup", "speedup_ci95_low", "speedup_ci95_high"),
    *("efficiency", "efficiency_ci95_low", "efficiency_ci95_high", "startup_seconds"),
    *("n_reached", "seconds_to_accuracy", "communication_share"),
]
NOTE = (
    "Speed-up is the ratio of images per second to those of the framework's contender with the fewest replicas, and "
    "efficiency is that over the ratio of replicas. The single replica of Keras trains with `fit`, and its strategies "
    "in a loop of their own, so against `keras` a speed-up holds the difference of the loops too; in a study with "
    "`keras:mirrored:1` that is the baseline, and what remains is the replicas'. In matched, runs pair by seed; in "
    "native they do not (Welch). Intervals are 95 % t intervals of the logarithms; the first step, timed as compile, "
    "is left out of both. Where cores allow, runs go side by side: a run of one replica may have had neighbours that "
    "slowed it, where a run that took every core had none, and this favours the latter. Waiting is the mean share of "
    "training time in which a replica had done its own part of a step and waited for the gradients of the others, the "
    "slowest included; it is PyTorch's own timing, from the second epoch on. TensorFlow does not tell."
)


def scaling_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """One row a track and contender of each framework that has a strategy; none if no framework has.

    `n` counts completed runs, and means are over them: `epoch_seconds` are those that all training images take at a
    run's images per second, so that the first step, which the compile clock has, is made up for. `speedup` is the
    images per second over those of `baseline`, by geometric means: if `paired`, over the `n_compared` seeds that both
    completed, else over all of each, of which the smaller side has that many; in strong scaling it is T_1 / T_N.
    `efficiency` is the speed-up over the ratio of replicas. `seconds_to_accuracy` is over the `n_reached` runs that
    reached the plan's target; `communication_share` is empty where a framework does not tell it.
    """
    rows = [row for track in plan.tracks for row in _of_track(runs[runs["track"] == track], track, plan)]
    return pd.DataFrame(rows, columns=COLUMNS)


def scaling_sentences(table: pd.DataFrame) -> list[str]:
    """One for each contender that can be held against a baseline other than itself."""
    rows = table[(table["contender"] != table["baseline"]) & table["speedup"].notna()].to_dict("records")
    return [_sentence(row) for row in rows]


def scaling_grid(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The table for reading: a heading row, then its rows."""
    heading = (
        *("contender", "batch", "runs", "seconds per epoch", "images per second", "speed-up", "efficiency"),
        *("startup seconds", "seconds to target", "waiting"),
    )
    return [heading, *(_cells(row) for row in table.to_dict("records"))]


def _of_track(runs: pd.DataFrame, track: str, plan: Plan) -> Iterator[dict[str, Any]]:
    with_strategy = {c.framework for c in plan.contenders if c.strategy != "single"}
    for framework in dict.fromkeys(c.framework for c in plan.contenders if c.framework in with_strategy):
        contenders = [c for c in plan.contenders if c.framework == framework]
        # At equal replicas the one that trains as the larger ones do: its strategies, where they have another loop.
        with_fit = FRAMEWORKS[framework].other_loop
        baseline = min(contenders, key=lambda c: (c.replicas, (c.strategy == "single") == with_fit))
        its_speeds = _images_per_second(_completed(runs, baseline))
        for contender in contenders:
            completed = _completed(runs, contender)
            yield {
                **_identity(contender, track, plan),
                **_means(completed, plan),
                "baseline": str(baseline),
                **_against(contender, baseline, _images_per_second(completed), its_speeds, track, plan),
            }


def _identity(contender: Contender, track: str, plan: Plan) -> dict[str, Any]:
    settings = settings_of(plan, contender)
    return {
        "framework": contender.framework,
        "contender": str(contender),
        "strategy": contender.strategy,
        "replicas": contender.replicas,
        "track": track,
        "scaling": plan.scaling,
        "lr_rule": plan.lr_rule,
        "global_batch_size": settings["batch_size"],
        "learning_rate": settings["optimizer"].learning_rate,
    }


def _completed(runs: pd.DataFrame, contender: Contender) -> pd.DataFrame:
    return runs[(runs["contender"] == str(contender)) & (runs["status"] == "completed")].set_index("seed")


def _images_per_second(completed: pd.DataFrame) -> pd.Series:
    """By seed; a run of one step has none."""
    return completed["images_per_second"].astype(float).dropna()


def _means(completed: pd.DataFrame, plan: Plan) -> dict[str, Any]:
    speeds = _images_per_second(completed)
    seconds = plan.limit_train / speeds
    low, high = mean_interval(seconds) or (np.nan, np.nan)
    to_accuracy = completed["seconds_to_accuracy"].astype(float).dropna()
    return {
        "n": len(completed),
        "epoch_seconds": seconds.mean(),
        "epoch_seconds_ci95_low": low,
        "epoch_seconds_ci95_high": high,
        "images_per_second": speeds.mean(),
        "startup_seconds": completed["startup_seconds"].astype(float).mean(),
        "n_reached": len(to_accuracy),
        "seconds_to_accuracy": to_accuracy.mean(),
        "communication_share": completed["communication_share"].astype(float).mean(),
    }


def _against(
    contender: Contender, baseline: Contender, speeds: pd.Series, its_speeds: pd.Series, track: str, plan: Plan
) -> dict[str, Any]:
    """Speed-up and efficiency. The baseline's own are 1 by definition, which no interval belongs to."""
    paired = pairs_by_seed(track)
    if paired:
        both = speeds.index.intersection(its_speeds.index)
        speeds, its_speeds = speeds[both], its_speeds[both]
    found = ratio_comparison(speeds, its_speeds, plan.time_margin, paired)
    interval = None if contender == baseline else found.ci95
    figures = {"": found.difference, "_ci95_low": interval and interval[0], "_ci95_high": interval and interval[1]}
    replicas = contender.replicas / baseline.replicas
    told = {ending: np.nan if value is None else value for ending, value in figures.items()}
    return {
        "paired": paired,
        "n_compared": found.n,
        **{f"speedup{ending}": value for ending, value in told.items()},
        **{f"efficiency{ending}": value / replicas for ending, value in told.items()},
    }


def _sentence(row: dict[Any, Any]) -> str:
    told = f"{row['contender']} trains on {row['speedup']:.2f} times as many images a second as {row['baseline']}"
    speedup = _bracketed(row, "speedup", 1, 2)
    efficiency = f"an efficiency of {100 * row['efficiency']:.0f} %{_bracketed(row, 'efficiency', 100, 0)}"
    sentence = f"{row['track']}, {row['scaling']} scaling: {told}{speedup}, {efficiency}"
    n = row["n_compared"]
    if n >= SEEDS_FOR_A_VERDICT:
        return f"{sentence}."
    return f"{sentence}; descriptive only, with {counted(n, 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)."


def _cells(row: dict[Any, Any]) -> tuple[str, ...]:
    reached = "" if row["n_reached"] in (0, row["n"]) else f" ({row['n_reached']} of {row['n']} runs)"
    return (
        f"{row['contender']}, {row['track']}",
        str(row["global_batch_size"]),
        str(row["n"]),
        number(row["epoch_seconds"], 2) + _bracketed(row, "epoch_seconds", 1, 2),
        number(row["images_per_second"], 0),
        number(row["speedup"], 2) + _bracketed(row, "speedup", 1, 2),
        _per_cent(row["efficiency"]) + _bracketed(row, "efficiency", 100, 0),
        number(row["startup_seconds"], 1),
        number(row["seconds_to_accuracy"], 1) + reached,
        _per_cent(row["communication_share"]),
    )


def _per_cent(value: float) -> str:
    return ABSENT if isnan(value) else f"{100 * value:.0f} %"


def _bracketed(row: dict[Any, Any], name: str, times: float, digits: int) -> str:
    """An interval behind its figure, with a space; nothing where there is none."""
    low, high = row[f"{name}_ci95_low"], row[f"{name}_ci95_high"]
    return "" if isnan(low) else f" [{times * low:.{digits}f}, {times * high:.{digits}f}]"
