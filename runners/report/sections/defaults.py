"""What the defaults are worth: how two contenders differ in native beyond how they differ in matched.

In matched every choice that can be the same for both is the same; in native each framework chooses for itself.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from runners.core.study import Plan
from runners.parity.checks import Audit
from runners.report.columns import Table
from runners.report.dictionary import columns_of
from runners.report.inputs import Inputs
from runners.report.metrics import SEEDS_FOR_A_VERDICT, Metric, compared_metrics
from runners.report.section import ALONE, Section
from runners.report.sections.comparison.table import batch_sizes, pairs_by_seed, sides, unreached
from runners.report.statistics.differences import DifferenceChange, difference_change
from runners.report.wording import ABSENT, amount, contrast, interval, too_few

NUMBERS = ["matched", "native", "only_defaults", "ci95_low", "ci95_high"]
TRACKS = ("matched", "native")
UNREACHED = "some runs never reached it; those that did are the faster ones, and tell nothing of the defaults."
DRAWN = "drawn, and audited"  # facts that matched runs take from draws.py, not from the framework
EFFECT_NOTE = (
    "A difference in native less the same difference in matched is what the frameworks' own choices add to it:"
    " initialisers, Adam's epsilon, shuffling, how images are fed. Matched is paired by seed and native is not;"
    " intervals are 95 % t intervals with the degrees of freedom of Welch and Satterthwaite, not corrected for"
    " the number of sentences."
)
TABLE_NOTE = (
    "Read from the live objects of the installed versions, in the processes of the parity audit: fresh"
    " networks, optimisers, feeds and settings of the process. Where epsilon is added and what the bias"
    " corrections are rounded to is measured with one Adam step each. 0 threads leave the number to the"
    " framework. What is the same everywhere is left out."
)


def section(inputs: Inputs) -> Section:
    """Show what only the frameworks' own choices add, and which choices these are."""
    table = defaults_table(inputs)
    words, notes = list(table["sentence"]), [EFFECT_NOTE]
    if not words:
        words, notes = [_why_none(inputs)], []
    tables = []
    if inputs.audit and inputs.audit.defaults:
        tables.append(differing_defaults(inputs.audit))
        notes.append(TABLE_NOTE)
    title = "What the defaults are worth"
    return Section("defaults", title, words, tables, notes=notes, data={"defaults": table})


def defaults_table(inputs: Inputs) -> pd.DataFrame:
    """Return one row a pair of contenders and metric; none unless the plan has both tracks.

    Contenders that fail the parity audit are left out, and pairs with batches of different sizes. `matched` and
    `native` are b - a, of times and losses b / a, of completed runs: of seeds that both have in matched, unpaired in
    native; both are empty for a time to an accuracy that some run never reached. `only_defaults` is native - matched,
    or native / matched, with its 95 % t interval, which is not corrected for the number of metrics. `n_matched` counts
    pairs, `n_native` the runs of the side that has fewer.
    """
    plan = inputs.plan
    contenders = [str(contender) for contender in plan.contenders if str(contender) not in inputs.unmatched]
    pairs = itertools.combinations(contenders, 2) if _has_both_tracks(plan) else ()
    matched = [(a, b) for a, b in pairs if len(batch_sizes(plan, a, b)) == 1]
    rows = [_row(metric, a, b, inputs.runs) for a, b in matched for metric in compared_metrics(plan)]
    numbers = dict.fromkeys(NUMBERS, float)  # also where all are absent
    return pd.DataFrame(rows, columns=columns_of("defaults")).astype(numbers)


def differing_defaults(audit: Audit) -> Table:
    """Return the facts in which contenders differ by default, or in which matched differs from one of them."""
    facts = dict.fromkeys(fact for each in audit.defaults for fact in each.native)
    native = [each.native for each in audit.defaults]
    matched = [dict.fromkeys(each.native, DRAWN) | each.matched for each in audit.defaults]
    rows = [(fact, *(chosen.get(fact, ABSENT) for chosen in (*native, *matched))) for fact in facts]
    heading = ("", *(f"{each.contender}, {track}" for track in ("native", "matched") for each in audit.defaults))
    differing = [row for row in rows if len(set(row[1:]) - {ABSENT}) > 1]
    return Table("The defaults in which the contenders differ", heading, differing, len(heading))


def _has_both_tracks(plan: Plan) -> bool:
    return set(TRACKS) <= set(plan.tracks)


def _why_none(inputs: Inputs) -> str:
    if not _has_both_tracks(inputs.plan):
        return (
            "This study has only one of matched and native. A study with `--track matched,native` tells how much of a"
            " difference is only defaults."
        )
    if len(inputs.plan.contenders) == 1:
        return ALONE
    failed = inputs.audit and inputs.audit.failed
    why = "The parity audit failed" if failed else "No two contenders have batches of one size"
    return f"{why}: with nothing matched, nothing tells how much of a difference is only defaults."


def _row(metric: Metric, a: str, b: str, runs: pd.DataFrame) -> dict[str, Any]:
    values = [
        np.log(side) if metric.ratio else side
        for track in TRACKS
        for side in sides(metric, _by_seed(runs, track, a), _by_seed(runs, track, b), paired=pairs_by_seed(track))
    ]
    missed = any(unreached(metric, _by_seed(runs, track, name)) for track in TRACKS for name in (a, b))
    change = DifferenceChange(0, 0, None, None, None, None) if missed else difference_change(*values)
    low, high = change.ci95 or (None, None)
    numbers = (change.paired, change.unpaired, change.change, low, high)
    row = {
        "metric": metric.name,
        "a": a,
        "b": b,
        **{name: _from_logs(x) if metric.ratio else x for name, x in zip(NUMBERS, numbers, strict=True)},
        "n_matched": change.n_paired,
        "n_native": change.n_unpaired,
    }
    return {**row, "sentence": f"{metric.label}: {UNREACHED if missed else _sentence(row, metric)}"}


def _by_seed(runs: pd.DataFrame, track: str, contender: str) -> pd.DataFrame:
    return runs[(runs["track"] == track) & (runs["contender"] == contender)].set_index("seed")


def _from_logs(value: float | None) -> float | None:
    with np.errstate(over="ignore"):  # the interval of two wild runs may reach to infinity
        return None if value is None else float(np.exp(value))


def _sentence(row: dict[str, Any], metric: Metric) -> str:
    lacking = [track for track in TRACKS if row[track] is None]
    if lacking:
        return f"{row['a']} and {row['b']} have no completed runs to compare in {' and '.join(lacking)}."
    tracks = "; ".join(f"in {track}, {contrast(row[track], row['a'], row['b'], metric)}" for track in TRACKS)
    effect = amount(row["only_defaults"], metric)
    return f"{tracks}; the defaults alone account for {effect}{_certainty(row, metric)}."


def _certainty(row: dict[str, Any], metric: Metric) -> str:
    n, low, high = min(row["n_matched"], row["n_native"]), row["ci95_low"], row["ci95_high"]
    if n < SEEDS_FOR_A_VERDICT or low is None:
        return f"; descriptive only, {too_few(n)}"
    is_open = metric.shown(low) <= 0 <= metric.shown(high)
    return f" {interval(low, high, metric)}{', which leaves its sign open' if is_open else ''}"
