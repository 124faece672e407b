"""Every pair of contenders on every metric, with its verdict.

The contender named first in the plan is the reference `a` of every pair; what is compared is always `b` with it.
"""

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lenet.data import TEST_IMAGES
from runners.core.spec import Contender
from runners.core.study import Plan, global_batch_size
from runners.report.metrics import Metric, declared_metrics
from runners.report.statistics import (
    Comparison,
    holm,
    noether_pairs,
    probability_of_improvement,
    sampling_error,
)
from runners.report.verdict import DIFFERENT, SIGNIFICANT, Verdict, compare, verdict
from runners.report.wording import HELD_FIXED, size

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
    "short",
    "told",
]


@dataclass(frozen=True)
class _Pair:
    """Two contenders on a track, the reference a and b, with the runs of each by seed."""

    a: str
    b: str
    runs_a: pd.DataFrame
    runs_b: pd.DataFrame
    paired: bool

    def unreached(self, metric: Metric) -> tuple[int, int]:
        return unreached(metric, self.runs_a), unreached(metric, self.runs_b)


def comparisons_table(runs: pd.DataFrame, plan: Plan, unmatched: Collection[str] = ()) -> pd.DataFrame:
    """One row a track, pair and metric, the primary metric first; pairs with a contender of `unmatched` are unpaired.

    `a` is the reference: `difference` is b - a, of times and losses b / a, and `wins` counts the seeds that b wins, a
    failed run being a loss. The p values of the metrics that are not primary are Holm-corrected, within their track
    and pair, and the verdicts go by them. The time to a target accuracy is there only if the plan declares one; a run
    that never reached it is a loss in `wins`, and what those that did are apart is no number of the comparison. Where
    every run repeats one draw there is no verdict. `sentence` is `short`, `told` and `would_change` together.
    `win_share` is the probability that a run of b is better than one of a: of pairs, with the exact interval, or of
    every run of b against every run of a; then `win_runs_needed` is about how many runs of each show such a share to
    be more than chance (Noether).
    """
    rows = [
        {**row, "track": track}
        for track in plan.tracks
        for pair in _pairs(runs[runs["track"] == track], track, plan, unmatched)
        for row in _of_pair(pair, plan)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"wins": "Int64", "win_runs_needed": "Int64"})  # may be absent


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


def pairs_by_seed(track: str) -> bool:
    """Whether runs of an equal seed are a pair; in native an equal seed number pairs nothing."""
    return track == "matched"


def are_matched(a: str, b: str, track: str, plan: Plan, unmatched: Collection[str] = ()) -> bool:
    """Whether two contenders' runs of an equal seed are a pair.

    In weak scaling contenders with other replicas have the same initial weights and other batches, and so are none.
    """
    return pairs_by_seed(track) and not {a, b} & set(unmatched) and len(batch_sizes(plan, a, b)) == 1


def batch_sizes(plan: Plan, a: str, b: str) -> list[int]:
    """The global batch sizes of two contenders: one if it is the same."""
    return list(dict.fromkeys(global_batch_size(plan, Contender.model_validate(name)) for name in (a, b)))


def completed_values(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """Of the completed runs, by seed; a time of zero, as of a run of one step, has no ratio."""
    values = runs.loc[runs["status"] == "completed", metric.name].astype(float)
    return values[values > 0] if metric.ratio else values


def sides(
    metric: Metric,
    runs_a: pd.DataFrame,
    runs_b: pd.DataFrame,
    *,
    paired: bool,
    values: Callable[[Metric, pd.DataFrame], pd.Series] = completed_values,
) -> tuple[np.ndarray, np.ndarray]:
    """Values of b, then of its reference a, each of shape (runs,), from runs by seed; if paired, of the seeds of both.

    This order is the orientation of all that is compared: statistics take the second side from the first.
    """
    of_b, of_a = values(metric, runs_b), values(metric, runs_a)
    if paired:
        both = of_a.index.intersection(of_b.index)
        of_b, of_a = of_b[both], of_a[both]
    return of_b.to_numpy(), of_a.to_numpy()


def unreached(metric: Metric, runs: pd.DataFrame) -> int:
    """How many of the completed runs never reached the metric's target."""
    return int(runs.loc[runs["status"] == "completed", metric.name].isna().sum()) if metric.may_be_unreached else 0


def _pairs(runs: pd.DataFrame, track: str, plan: Plan, unmatched: Collection[str]) -> Iterator[_Pair]:
    by_contender = {str(c): runs[runs["contender"] == str(c)].set_index("seed") for c in plan.contenders}
    for a, b in itertools.combinations(by_contender, 2):
        yield _Pair(a, b, by_contender[a], by_contender[b], are_matched(a, b, track, plan, unmatched))


def _of_pair(pair: _Pair, plan: Plan) -> Iterator[dict[str, Any]]:
    metrics = declared_metrics(plan)
    found = [
        compare(metric, *sides(metric, pair.runs_a, pair.runs_b, paired=pair.paired), paired=pair.paired)
        for metric in metrics
    ]
    secondary = [
        None if metric.primary or any(pair.unreached(metric)) else comparison.p_difference
        for metric, comparison in zip(metrics, found, strict=True)
    ]
    tested = sum(p is not None for p in secondary)
    for metric, comparison, corrected in zip(metrics, found, holm(secondary), strict=True):
        if metric.primary:
            yield _row(metric, pair, plan, comparison, 1)
        else:
            yield _row(metric, pair, plan, replace(comparison, p_difference=corrected), tested)


def _row(metric: Metric, pair: _Pair, plan: Plan, found: Comparison, tested: int) -> dict[str, Any]:
    missed, one_draw = pair.unreached(metric), plan.vary == "nothing"
    judged = verdict(found, pair.a, pair.b, metric, tested=tested, unreached=missed, one_draw=one_draw)
    if any(missed):
        found = _without_numbers(found)
    (low95, high95), (low90, high90) = found.ci95 or (None, None), found.ci90 or (None, None)
    return {
        "metric": metric.name,
        "a": pair.a,
        "b": pair.b,
        "n": found.n,
        "paired": pair.paired,
        "difference": found.difference,
        "ci95_low": low95,
        "ci95_high": high95,
        "ci90_low": low90,
        "ci90_high": high90,
        "margin": metric.margin,
        "p_difference": found.p_difference,
        "p_equivalence": found.p_equivalence,
        "verdict": judged.kind,
        "primary": metric.primary,
        **_winning(metric, pair),
        **_words(judged, metric, pair, plan),
    }


def _without_numbers(comparison: Comparison) -> Comparison:
    """What is left of a comparison of those runs alone that got there, the faster ones of their side."""
    return replace(comparison, difference=None, ci95=None, ci90=None, p_difference=None, p_equivalence=None)


def _words(judged: Verdict, metric: Metric, pair: _Pair, plan: Plan) -> dict[str, str]:
    """The sentences; each may be read alone, without the notices."""
    remarks = (_of_images(metric, pair), _of_batches(pair, plan), _of_one_draw(plan))
    told = _joined(judged.told, *remarks)
    return {
        "sentence": _joined(judged.short, told, judged.would_change),
        "short": judged.short,
        "told": told,
        "would_change": judged.would_change,
    }


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _of_images(metric: Metric, pair: _Pair) -> str:
    """How far an accuracy would move on other test images, which no number of runs lessens."""
    values = np.concatenate(sides(metric, pair.runs_a, pair.runs_b, paired=pair.paired))
    if metric.name != "test_accuracy" or not len(values):
        return ""
    error = sampling_error(float(values.mean()), TEST_IMAGES)
    return f"Choosing other test images moves any accuracy by about {size(error, metric)}."


def _of_batches(pair: _Pair, plan: Plan) -> str:
    sizes = batch_sizes(plan, pair.a, pair.b)
    if len(sizes) == 1:
        return ""
    return f"Weak scaling: {pair.a} had batches of {sizes[0]} images, {pair.b} of {sizes[1]}."


def _of_one_draw(plan: Plan) -> str:
    return "" if plan.vary == "all" else f"Every run had the {HELD_FIXED[plan.vary]} of seed {plan.seeds[0]}."


def _winning(metric: Metric, pair: _Pair) -> dict[str, Any]:
    """The seeds that b wins, and the probability that it wins; a run that did not complete loses."""
    of_b, of_a = sides(metric, pair.runs_a, pair.runs_b, paired=pair.paired, values=_contests)
    better = metric.higher_is_better
    won = int(((of_b > of_a) if better else (of_b < of_a)).sum()) if pair.paired else None
    found = probability_of_improvement(of_b, of_a, paired=pair.paired, higher_is_better=better)
    share, (low, high) = found.probability, found.ci95 or (None, None)
    needed = None if pair.paired or share is None else noether_pairs(share)
    shares = {"win_share": share, "win_share_low": low, "win_share_high": high}
    return {"wins": won, **shares, "win_runs_needed": needed}


def _contests(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """A value for each run that can be held against another: the worst of all where it did not complete.

    A completed run without a value, too short to be timed, is left out, unless that says it never got there.
    """
    worst = -np.inf if metric.higher_is_better else np.inf
    values = runs[metric.name].astype(float).where(runs["status"] == "completed", worst)
    return values.fillna(worst) if metric.may_be_unreached else values.dropna()
