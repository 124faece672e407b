"""Every pair of contenders on every metric, with its verdict."""

import itertools
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from runners.report.statistics import Improvement, holm, probability_of_improvement
from runners.report.verdict import METRICS, TIME_TO_ACCURACY, Metric, compare, verdict
from runners.report.wording import HELD_FIXED
from runners.spec import Contender
from runners.study import Plan, global_batch_size

COLUMNS = [
    "metric",
    "a",
    "b",
    "track",
    "n",
    "paired",
    "difference",
    "ci95_low",
    "ci95_high",
    "ci90_low",
    "ci90_high",
    "margin",
    "p_difference",
    "p_equivalence",
    "wins",
    "verdict",
    "sentence",
    "primary",
    "win_share",
    "win_share_low",
    "win_share_high",
    "would_change",
]


def comparisons_table(runs: pd.DataFrame, plan: Plan, unmatched: Collection[str] = ()) -> pd.DataFrame:
    """One row a track, pair and metric, the primary metric first; pairs with a contender of `unmatched` are unpaired.

    `difference` is a - b, in a time metric a / b; `wins` counts the seeds that a wins, a failed run being a loss. The
    p values of the metrics that are not primary are Holm-corrected, within their track and pair. The time to a target
    accuracy is there only if the plan declares one; a run that never reached it is in no mean, and a loss in `wins`.
    `win_share` is the probability that a run of a is better than one of b: of pairs, with the exact interval, or of
    every run of a against every run of b.
    """
    rows = [row for track in plan.tracks for row in _of_track(runs[runs["track"] == track], track, plan, unmatched)]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"wins": "Int64"})  # whole numbers, absent where unpaired
    if plan.vary != "all":  # a sentence may be read without the notice
        fixed = f" ({HELD_FIXED[plan.vary]} of seed {plan.seeds[0]} in every run)."
        table["sentence"] = table["sentence"].str.removesuffix(".") + fixed
    return table


def declared_metrics(plan: Plan) -> tuple[Metric, ...]:
    """The metrics, with the margins and the target that the plan declared before any run."""
    metrics: tuple[Metric, ...] = METRICS
    if plan.target_accuracy is not None:
        metrics += (replace(TIME_TO_ACCURACY, label=f"Time to {100 * plan.target_accuracy:g} % test accuracy"),)
    return tuple(replace(m, margin=getattr(plan, m.declared)) for m in metrics)


def pairs_by_seed(track: str) -> bool:
    """Whether runs of an equal seed are a pair; in native and tuned an equal seed number pairs nothing."""
    return track == "matched"


def are_matched(a: str, b: str, track: str, plan: Plan, unmatched: Collection[str] = ()) -> bool:
    """Whether two contenders' runs of an equal seed are a pair.

    In weak scaling contenders with other replicas have the same initial weights and other batches, and so are none.
    """
    return pairs_by_seed(track) and not {a, b} & set(unmatched) and len(batch_sizes(plan, a, b)) == 1


def batch_sizes(plan: Plan, a: str, b: str) -> list[int]:
    """The global batch sizes of two contenders: one if it is the same."""
    return list(dict.fromkeys(global_batch_size(plan, Contender.model_validate(name)) for name in (a, b)))


def sides(metric: Metric, runs_a: pd.DataFrame, runs_b: pd.DataFrame, *, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values of completed runs, each side of shape (runs,), from runs by seed; if paired, of the seeds of both."""
    of_a, of_b = (_values(metric, runs) for runs in (runs_a, runs_b))
    if paired:
        both = of_a.index.intersection(of_b.index)
        of_a, of_b = of_a[both], of_b[both]
    return of_a.to_numpy(), of_b.to_numpy()


def _of_track(runs: pd.DataFrame, track: str, plan: Plan, unmatched: Collection[str]) -> Iterator[dict[str, Any]]:
    by_contender = {str(c): runs[runs["contender"] == str(c)].set_index("seed") for c in plan.contenders}
    for a, b in itertools.combinations(by_contender, 2):
        paired = are_matched(a, b, track, plan, unmatched)
        metrics = declared_metrics(plan)
        rows = [_row(metric, a, b, by_contender[a], by_contender[b], paired) for metric in metrics]
        secondary = [row for row, metric in zip(rows, metrics, strict=True) if not metric.primary]
        corrected = holm([row["p_difference"] for row in secondary])
        for row, p in zip(secondary, corrected, strict=True):
            row["p_difference"] = p
        for row in rows:
            yield {**row, "track": track, "sentence": row["sentence"].removesuffix(".") + _other_batches(plan, a, b)}


def _other_batches(plan: Plan, a: str, b: str) -> str:
    """How a sentence ends: it may be read without the notice."""
    sizes = batch_sizes(plan, a, b)
    return "." if len(sizes) == 1 else f" (weak scaling: {a} had batches of {sizes[0]} images, {b} of {sizes[1]})."


def _row(metric: Metric, a: str, b: str, runs_a: pd.DataFrame, runs_b: pd.DataFrame, paired: bool) -> dict[str, Any]:
    found = compare(metric, *sides(metric, runs_a, runs_b, paired=paired), paired=paired)
    judged = verdict(found, a, b, metric, (_unreached(metric, runs_a), _unreached(metric, runs_b)))
    won, improvement = _wins_of_a(metric, runs_a, runs_b, paired)
    low_share, high_share = improvement.ci95 or (None, None)
    (low95, high95), (low90, high90) = found.ci95 or (None, None), found.ci90 or (None, None)
    return {
        "metric": metric.name,
        "a": a,
        "b": b,
        "n": found.n,
        "paired": paired,
        "difference": found.difference,
        "ci95_low": low95,
        "ci95_high": high95,
        "ci90_low": low90,
        "ci90_high": high90,
        "margin": metric.margin,
        "p_difference": found.p_difference,
        "p_equivalence": found.p_equivalence,
        "wins": won if paired else None,
        "verdict": judged.kind,
        "sentence": judged.sentence,
        "primary": metric.primary,
        "win_share": improvement.probability,
        "win_share_low": low_share,
        "win_share_high": high_share,
        "would_change": judged.would_change,
    }


def _values(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """Of the completed runs; a time of zero, as of a run of one step, has no ratio."""
    values = runs.loc[runs["status"] == "completed", metric.name].astype(float)
    return values[values > 0] if metric.ratio else values


def _unreached(metric: Metric, runs: pd.DataFrame) -> int:
    return int(runs.loc[runs["status"] == "completed", metric.name].isna().sum()) if metric.may_be_unreached else 0


def _wins_of_a(metric: Metric, runs_a: pd.DataFrame, runs_b: pd.DataFrame, paired: bool) -> tuple[int, Improvement]:
    """The seeds that a wins, and the probability that it wins; a run that did not complete loses."""
    of_a, of_b = (_contests(metric, runs) for runs in (runs_a, runs_b))
    if paired:
        both = of_a.index.intersection(of_b.index)
        of_a, of_b = of_a[both], of_b[both]
    better = metric.higher_is_better
    improvement = probability_of_improvement(of_a, of_b, paired=paired, higher_is_better=better)
    won = ((of_a > of_b) if better else (of_a < of_b)).sum() if paired else 0
    return int(won), improvement


def _contests(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """A value for each run that can be held against another: the worst of all where it did not complete.

    A completed run without a value, too short to be timed, is left out, unless that says it never got there.
    """
    worst = -np.inf if metric.higher_is_better else np.inf
    values = runs[metric.name].astype(float).where(runs["status"] == "completed", worst)
    return values.fillna(worst) if metric.may_be_unreached else values.dropna()
