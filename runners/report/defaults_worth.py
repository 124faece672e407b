"""What the defaults are worth: how two contenders differ in native beyond how they differ in matched.

In matched nothing is left to a framework's choice that could be settled for both; in native each chooses for itself.
"""

import itertools
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from runners.core.study import Plan
from runners.report.comparisons import batch_sizes, pairs_by_seed, sides, unreached
from runners.report.metrics import METRICS, Metric, declared_metrics
from runners.report.statistics import DifferenceChange, difference_change
from runners.report.verdict import SEEDS_FOR_A_VERDICT
from runners.report.wording import amount, contrast, counted, interval

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

    `matched` and `native` are b - a, of times and losses b / a, of completed runs: of seeds that both have in matched,
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
    row = {
        "metric": metric.name,
        "a": a,
        "b": b,
        **{name: _from_logs(x) if metric.ratio else x for name, x in zip(NUMBERS, numbers, strict=True)},
        "n_matched": found.n_paired,
        "n_native": found.n_unpaired,
    }
    return {**row, "sentence": f"{metric.label}: {UNREACHED if missed else _sentence(row, metric)}"}


def _by_seed(runs: pd.DataFrame, track: str, contender: str) -> pd.DataFrame:
    return runs[(runs["track"] == track) & (runs["contender"] == contender)].set_index("seed")


def _from_logs(value: float | None) -> float | None:
    with np.errstate(over="ignore"):  # two wild runs reach to infinity, and may
        return None if value is None else float(np.exp(value))


def _sentence(row: dict[str, Any], metric: Metric) -> str:
    lacking = [track for track in TRACKS if row[track] is None]
    if lacking:
        return f"{row['a']} and {row['b']} have no completed runs to compare in {' and '.join(lacking)}."
    tracks = "; ".join(f"in {track}, {contrast(row[track], row['a'], row['b'], metric)}" for track in TRACKS)
    worth = amount(row["only_defaults"], metric)
    return f"{tracks}; the defaults alone account for {worth}{_certainty(row, metric)}."


def _certainty(row: dict[str, Any], metric: Metric) -> str:
    n, low, high = min(row["n_matched"], row["n_native"]), row["ci95_low"], row["ci95_high"]
    if n < SEEDS_FOR_A_VERDICT or low is None:
        return f"; descriptive only, with {counted(n, 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)"
    is_open = metric.shown(low) <= 0 <= metric.shown(high)
    return f" {interval(low, high, metric)}{', which leaves its sign open' if is_open else ''}"
