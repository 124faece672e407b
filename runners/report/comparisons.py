"""Every pair of contenders on every metric, with its verdict."""

import itertools
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from runners.core.spec import Contender
from runners.core.study import Plan, global_batch_size
from runners.report.statistics import Comparison, Improvement, holm, noether_pairs, probability_of_improvement
from runners.report.verdict import DIFFERENT, METRICS, NOT_AFTER_HOLM, TIME_TO_ACCURACY, Metric, compare, verdict
from runners.report.wording import HELD_FIXED

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
    "win_runs_needed",
]
SIGNIFICANT = 0.05
SPEED, DURATION = "images_per_second", "train_seconds"


def comparisons_table(runs: pd.DataFrame, plan: Plan, unmatched: Collection[str] = ()) -> pd.DataFrame:
    """One row a track, pair and metric, the primary metric first; pairs with a contender of `unmatched` are unpaired.

    `difference` is a - b, in a time metric a / b; `wins` counts the seeds that a wins, a failed run being a loss. The
    p values of the metrics that are not primary are Holm-corrected, within their track and pair; where images per
    second are training times the other way round, their test counts once. The time to a target accuracy is there only
    if the plan declares one; a run that never reached it is a loss in `wins`, and what those that did are apart is no
    number of the comparison. Where every run repeats one draw there is no verdict. `win_share` is the probability that
    a run of a is better than one of b: of pairs, with the exact interval, or of every run of a against every run of b;
    then `win_runs_needed` is about how many runs of each show such a share to be more than chance (Noether).
    """
    rows = [row for track in plan.tracks for row in _of_track(runs[runs["track"] == track], track, plan, unmatched)]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"wins": "Int64", "win_runs_needed": "Int64"})  # may be absent
    if plan.vary != "all":  # a sentence may be read without the notice
        fixed = f" ({HELD_FIXED[plan.vary]} of seed {plan.seeds[0]} in every run)."
        table["sentence"] = table["sentence"].str.removesuffix(".") + fixed
    return table


def any_differ(comparisons: pd.DataFrame) -> bool:
    """Whether by the verdicts on the primary metric any two contenders differ on any track, at 5 % for all at once.

    A verdict counts only if its p value holds when corrected for the number of pairs and tracks that have verdicts
    (Holm): where no two differ, one study in twenty at most says otherwise, however many contenders it has.
    """
    judged = [row for row in comparisons.to_dict("records") if row["primary"] and row["verdict"] != "descriptive"]
    corrected = holm([row["p_difference"] for row in judged])
    return any(
        row["verdict"] in DIFFERENT and p is not None and p < SIGNIFICANT
        for row, p in zip(judged, corrected, strict=True)
    )


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
        one_draw = plan.vary == "nothing"
        rows = [_row(metric, a, b, by_contender[a], by_contender[b], paired, one_draw) for metric in metrics]
        alone = [row["p_difference"] for row in rows]
        _correct({row["metric"]: row for row in rows if not row["primary"]}, by_contender[a], by_contender[b])
        for row, p in zip(rows, alone, strict=True):
            told = row["sentence"].removesuffix(".") + _holm_caveat(row, p)
            yield {**row, "track": track, "sentence": told + _other_batches(plan, a, b)}


def _correct(secondary: dict[str, dict[str, Any]], runs_a: pd.DataFrame, runs_b: pd.DataFrame) -> None:
    """Correct the p values for their number. Two metrics that are one test are counted once, and have one p value."""
    twice = _are_one_test(runs_a, runs_b)
    family = [row for name, row in secondary.items() if not (twice and name == SPEED)]
    for row, p in zip(family, holm([row["p_difference"] for row in family]), strict=True):
        row["p_difference"] = p
    if twice:
        secondary[SPEED]["p_difference"] = secondary[DURATION]["p_difference"]


def _holm_caveat(row: dict[str, Any], alone: float | None) -> str:
    """What must follow a sentence that tells of a difference if its p value, significant alone, is not corrected."""
    if alone is None or not alone < SIGNIFICANT <= row["p_difference"] or row["verdict"] == "descriptive":
        return ""
    return f"; {NOT_AFTER_HOLM}" if row["verdict"] in DIFFERENT else f"; the difference is {NOT_AFTER_HOLM}"


def _are_one_test(runs_a: pd.DataFrame, runs_b: pd.DataFrame) -> bool:
    """Whether images per second are one number over the training seconds in all runs: then both logs differ alike."""
    runs = pd.concat([runs_a, runs_b])
    return len(runs.loc[runs["status"] == "completed", ["epochs", "batch_size"]].drop_duplicates()) <= 1


def _other_batches(plan: Plan, a: str, b: str) -> str:
    """How a sentence ends: it may be read without the notice."""
    sizes = batch_sizes(plan, a, b)
    return "." if len(sizes) == 1 else f" (weak scaling: {a} had batches of {sizes[0]} images, {b} of {sizes[1]})."


def _row(
    metric: Metric, a: str, b: str, runs_a: pd.DataFrame, runs_b: pd.DataFrame, paired: bool, one_draw: bool
) -> dict[str, Any]:
    found = compare(metric, *sides(metric, runs_a, runs_b, paired=paired), paired=paired)
    missed = unreached(metric, runs_a), unreached(metric, runs_b)
    judged = verdict(found, a, b, metric, missed, one_draw)
    if any(missed):
        found = _without_numbers(found)
    won, improvement = _wins_of_a(metric, runs_a, runs_b, paired)
    low_share, high_share = improvement.ci95 or (None, None)
    share = improvement.probability
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
        "win_share": share,
        "win_share_low": low_share,
        "win_share_high": high_share,
        "would_change": judged.would_change,
        "win_runs_needed": None if paired or share is None else noether_pairs(share),
    }


def _without_numbers(comparison: Comparison) -> Comparison:
    """What is left of a comparison of those runs alone that got there, the faster ones of their side."""
    return replace(comparison, difference=None, ci95=None, ci90=None, p_difference=None, p_equivalence=None)


def _values(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """Of the completed runs; a time of zero, as of a run of one step, has no ratio."""
    values = runs.loc[runs["status"] == "completed", metric.name].astype(float)
    return values[values > 0] if metric.ratio else values


def unreached(metric: Metric, runs: pd.DataFrame) -> int:
    """How many of the completed runs never reached the metric's target."""
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
