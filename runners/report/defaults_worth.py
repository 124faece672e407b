"""What the defaults are worth: how two contenders differ in native beyond how they differ in matched.

In matched nothing is left to a framework's choice that could be settled for both; in native each chooses for itself.
"""

import itertools
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from runners.core.study import Plan
from runners.report.comparisons import batch_sizes, declared_metrics, pairs_by_seed, sides, unreached
from runners.report.statistics import DifferenceChange, difference_change
from runners.report.verdict import METRICS, SEEDS_FOR_A_VERDICT, Metric, amount, bracketed, counted

NUMBERS = ["matched", "native", "only_defaults", "ci95_low", "ci95_high"]
COLUMNS = ["metric", "a", "b", *NUMBERS, "n_matched", "n_native", "sentence"]
TRACKS = ("matched", "native")
UNREACHED = "some runs never reached it; those that did are the faster ones, and tell nothing of the defaults."
ON_SCREEN = (*(metric.name for metric in METRICS if metric.primary), "train_seconds")


def has_both_tracks(plan: Plan) -> bool:
    """Whether a plan can tell what the defaults are worth."""
    return set(TRACKS) <= set(plan.tracks)


def defaults_table(runs: pd.DataFrame, plan: Plan, unmatched: Collection[str] = ()) -> pd.DataFrame:
    """One row a pair of contenders and metric; none unless the plan has both tracks, nor with one of
    `unmatched`, nor of batches of different sizes.

    `matched` and `native` are a - b, in a time metric a / b, of completed runs: of seeds that both have in matched,
    unpaired in native; of a time to an accuracy that some run never reached there are none. `only_defaults` is
    native - matched, or native / matched, with its 95 % t interval, which is not corrected for the number of metrics.
    `n_matched` counts pairs, `n_native` the runs of the side that has fewer.
    """
    held = [str(contender) for contender in plan.contenders if str(contender) not in unmatched]
    pairs = itertools.combinations(held, 2) if has_both_tracks(plan) else ()
    matched = [(a, b) for a, b in pairs if len(batch_sizes(plan, a, b)) == 1]
    rows = [_row(metric, a, b, runs) for a, b in matched for metric in declared_metrics(plan)]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))  # also where all are absent


def _row(metric: Metric, a: str, b: str, runs: pd.DataFrame) -> dict[str, Any]:
    values = [
        np.log(side) if metric.ratio else side
        for track in TRACKS
        for side in sides(metric, _by_seed(runs, track, a), _by_seed(runs, track, b), paired=pairs_by_seed(track))
    ]
    missed = any(unreached(metric, _by_seed(runs, track, name)) for track in TRACKS for name in (a, b))
    found = DifferenceChange(0, 0, None, None, None, None) if missed else difference_change(*values)
    low, high = found.ci95 or (None, None)
    numbers = (found.paired, found.unpaired, found.change, low, high)
    return {
        "metric": metric.name,
        "a": a,
        "b": b,
        **{name: _from_logs(x) if metric.ratio else x for name, x in zip(NUMBERS, numbers, strict=True)},
        "n_matched": found.n_paired,
        "n_native": found.n_unpaired,
        "sentence": f"{metric.label}: {UNREACHED}" if missed else _sentence(found, a, b, metric),
    }


def _by_seed(runs: pd.DataFrame, track: str, contender: str) -> pd.DataFrame:
    return runs[(runs["track"] == track) & (runs["contender"] == contender)].set_index("seed")


def _from_logs(value: float | None) -> float | None:
    with np.errstate(over="ignore"):  # two wild runs reach to infinity, and may
        return None if value is None else float(np.exp(value))


def _sentence(found: DifferenceChange, a: str, b: str, metric: Metric) -> str:
    if found.paired is None or found.unpaired is None or found.change is None:
        lacking = [track for track, value in zip(TRACKS, (found.paired, found.unpaired), strict=True) if value is None]
        return f"{metric.label}: {a} and {b} have no completed runs to compare in {' and '.join(lacking)}."
    tracks = f"in matched, {_told(found.paired, a, b, metric)}; in native, {_told(found.unpaired, a, b, metric)}"
    larger = a if found.change >= 0 else b
    worth = f"{larger} being {amount(abs(found.change), metric)} {metric.larger}"
    return f"{metric.label}: {tracks}; the defaults alone account for {worth}{_certainty(found, metric)}."


def _told(difference: float, a: str, b: str, metric: Metric) -> str:
    if difference == 0:
        return f"{a} and {b} are equal on average"
    larger, smaller = (a, b) if difference > 0 else (b, a)
    return f"{larger} is {amount(abs(difference), metric)} {metric.larger} than {smaller}"


def _certainty(found: DifferenceChange, metric: Metric) -> str:
    n = min(found.n_paired, found.n_unpaired)
    if n < SEEDS_FOR_A_VERDICT or found.ci95 is None or found.change is None:
        return f"; descriptive only, with {counted(n, 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)"
    low, high = found.ci95
    interval = bracketed((low, high) if found.change >= 0 else (-high, -low), metric)
    return f" {interval}{', which leaves its sign open' if low <= 0 <= high else ''}"
