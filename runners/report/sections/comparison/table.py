"""The comparisons table: every pair of contenders on every metric, with its verdict.

The contender named first in the plan is the reference `a` of every pair; `b` is compared with it.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lenet.data import TEST_IMAGES
from runners.core.spec import Contender
from runners.core.study import Plan, global_batch_size
from runners.report.dictionary import columns_of
from runners.report.inputs import Inputs
from runners.report.metrics import Metric, compared_metrics
from runners.report.sections.comparison.verdict import DIFFERENT, SIGNIFICANT, Verdict, compare, verdict
from runners.report.statistics.differences import Comparison, holm
from runners.report.statistics.images import sampling_error
from runners.report.statistics.shares import noether_pairs, probability_of_improvement, wins
from runners.report.tables import completed
from runners.report.wording import HELD_FIXED, size


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


def comparisons_table(inputs: Inputs) -> pd.DataFrame:
    """Return one row a track, pair and metric, the primary metric first; contenders that fail the audit are unpaired.

    `a` is the reference: `difference` is b - a, of times and losses b / a, and `wins` counts the seeds that b wins, a
    failed run being a loss. The p values of the metrics that are not primary are Holm-corrected, within their track
    and pair, and the verdicts use the corrected values. The time to a target accuracy is there only if the plan
    declares one; a run that never reached it is a loss in `wins`, and the comparison then has no difference, since only
    the faster runs of each side have a time. Where every run repeats one draw there is no verdict. `sentence` is
    `short`, `told` and `would_change` together. `win_share` is the probability that a run of b is better than one of a:
    of pairs, with the exact interval, or of every run of b against every run of a; then `win_runs_needed` is about how
    many runs of each show such a share to be more than chance (Noether).
    """
    plan = inputs.plan
    rows = [
        {**row, "track": track}
        for track in plan.tracks
        for pair in _pairs(inputs, track)
        for row in _of_pair(pair, plan)
    ]
    may_be_absent = {"wins": "Int64", "win_runs_needed": "Int64"}
    return pd.DataFrame(rows, columns=columns_of("comparisons")).astype(may_be_absent)


def any_differ(comparisons: pd.DataFrame) -> bool:
    """Return whether any two contenders differ in the primary metric on any track, at 5 % for all pairs together.

    A verdict counts only if its p value holds when corrected for the number of pairs and tracks that have verdicts
    (Holm): among studies without any difference, at most one in twenty says otherwise, however many contenders it has.
    """
    judged = [row for row in comparisons.to_dict("records") if row["primary"] and row["verdict"] != "descriptive"]
    corrected = holm([row["p_difference"] for row in judged])
    return any(
        row["verdict"] in DIFFERENT and p is not None and p < SIGNIFICANT
        for row, p in zip(judged, corrected, strict=True)
    )


def pairs_by_seed(track: str) -> bool:
    """Return whether runs of an equal seed are a pair; in native an equal seed number pairs nothing."""
    return track == "matched"


def are_matched(a: str, b: str, track: str, inputs: Inputs) -> bool:
    """Return whether two contenders' runs of an equal seed are a pair.

    In weak scaling contenders with other numbers of replicas have the same initial weights but other batches, so their
    runs are no pairs.
    """
    passed = not {a, b} & inputs.unmatched
    return pairs_by_seed(track) and passed and len(batch_sizes(inputs.plan, a, b)) == 1


def batch_sizes(plan: Plan, a: str, b: str) -> list[int]:
    """Return the different global batch sizes of two contenders, one or two."""
    return list(dict.fromkeys(global_batch_size(plan, Contender.model_validate(name)) for name in (a, b)))


def completed_values(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """Return the values of the completed runs; a time of zero, as of a run of one step, has no ratio."""
    values = completed(runs)[metric.name].astype(float)
    return values[values > 0] if metric.ratio else values


def sides(
    metric: Metric,
    runs_a: pd.DataFrame,
    runs_b: pd.DataFrame,
    *,
    paired: bool,
    values: Callable[[Metric, pd.DataFrame], pd.Series] = completed_values,
) -> tuple[np.ndarray, np.ndarray]:
    """Return values of b, then of its reference a, each of shape (runs,), from runs by seed.

    If paired they are of the seeds that both have. This order is the orientation of every comparison: statistics
    subtract the second side from the first.
    """
    of_b, of_a = values(metric, runs_b), values(metric, runs_a)
    if paired:
        both = of_a.index.intersection(of_b.index)
        of_b, of_a = of_b[both], of_a[both]
    return of_b.to_numpy(), of_a.to_numpy()


def unreached(metric: Metric, runs: pd.DataFrame) -> int:
    """Count the completed runs that never reached the metric's target."""
    return int(completed(runs)[metric.name].isna().sum()) if metric.may_be_unreached else 0


def _pairs(inputs: Inputs, track: str) -> Iterator[_Pair]:
    runs = inputs.runs[inputs.runs["track"] == track]
    by_contender = {str(c): runs[runs["contender"] == str(c)].set_index("seed") for c in inputs.plan.contenders}
    for a, b in itertools.combinations(by_contender, 2):
        yield _Pair(a, b, by_contender[a], by_contender[b], are_matched(a, b, track, inputs))


def _of_pair(pair: _Pair, plan: Plan) -> Iterator[dict[str, Any]]:
    metrics = compared_metrics(plan)
    comparisons = [_compare(metric, pair, plan) for metric in metrics]
    secondary = [
        None if metric.primary or any(pair.unreached(metric)) else comparison.p_difference
        for metric, comparison in zip(metrics, comparisons, strict=True)
    ]
    tested = sum(p is not None for p in secondary)
    for metric, comparison, corrected in zip(metrics, comparisons, holm(secondary), strict=True):
        if metric.primary:
            yield _row(metric, pair, plan, comparison, 1)
        else:
            yield _row(metric, pair, plan, replace(comparison, p_difference=corrected), tested)


def _compare(metric: Metric, pair: _Pair, plan: Plan) -> Comparison:
    of_b, of_a = sides(metric, pair.runs_a, pair.runs_b, paired=pair.paired)
    return compare(metric, metric.margin(plan), of_b, of_a, paired=pair.paired)


def _row(metric: Metric, pair: _Pair, plan: Plan, comparison: Comparison, tested: int) -> dict[str, Any]:
    missed, one_draw = pair.unreached(metric), plan.vary == "nothing"
    judged = verdict(comparison, pair.a, pair.b, metric, tested=tested, unreached=missed, one_draw=one_draw)
    if any(missed):
        comparison = _without_numbers(comparison)
    (low95, high95), (low90, high90) = comparison.ci95 or (None, None), comparison.ci90 or (None, None)
    of_comparison = ("n", "paired", "difference", "p_difference", "p_equivalence")
    return {
        "metric": metric.name,
        "a": pair.a,
        "b": pair.b,
        **{name: getattr(comparison, name) for name in of_comparison},
        **{"ci95_low": low95, "ci95_high": high95, "ci90_low": low90, "ci90_high": high90},
        "margin": metric.margin(plan),
        "verdict": judged.kind,
        "primary": metric.primary,
        **_winning(metric, pair),
        **_sentences(judged, metric, pair, plan),
    }


def _without_numbers(comparison: Comparison) -> Comparison:
    """Remove the numbers that describe only the runs that reached a target, which are the faster ones of their side."""
    return replace(comparison, difference=None, ci95=None, ci90=None, p_difference=None, p_equivalence=None)


def _sentences(judged: Verdict, metric: Metric, pair: _Pair, plan: Plan) -> dict[str, str]:
    """Return the sentences; each can be read alone, without the notices."""
    remarks = (_of_images(metric, pair), _of_batches(pair, plan), _of_one_draw(plan))
    difference = _joined(judged.difference, *remarks)
    return {
        "sentence": _joined(judged.short, difference, judged.would_change),
        "short": judged.short,
        "told": difference,
        "would_change": judged.would_change,
    }


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _of_images(metric: Metric, pair: _Pair) -> str:
    """Say how far an accuracy would move on other test images, which no number of runs lessens."""
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
    """Return the seeds that b wins, and the probability that b wins; a run that did not complete loses."""
    of_b, of_a = sides(metric, pair.runs_a, pair.runs_b, paired=pair.paired, values=_contests)
    if pair.paired:
        won = wins(of_b, of_a, higher_is_better=metric.higher_is_better)
        count, share, interval, needed = won.a, won.share, won.ci95, None
    else:
        better = probability_of_improvement(of_b, of_a, higher_is_better=metric.higher_is_better)
        count, share, interval = None, better.probability, better.ci95
        needed = None if share is None else noether_pairs(share)
    low, high = interval or (None, None)
    shares = {"win_share": share, "win_share_low": low, "win_share_high": high}
    return {"wins": count, **shares, "win_runs_needed": needed}


def _contests(metric: Metric, runs: pd.DataFrame) -> pd.Series:
    """Return the value with which each run competes: the worst possible where it did not complete.

    A completed run without a value was too short to be timed and is left out, unless it never reached a target.
    """
    worst = -np.inf if metric.higher_is_better else np.inf
    values = runs[metric.name].astype(float).where(runs["status"] == "completed", worst)
    return values.fillna(worst) if metric.may_be_unreached else values.dropna()
