"""Do they predict the same? On how many test images two runs predict the same class.

Changing the seed alone moves predictions too, so two contenders are told beside two seeds of one contender.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from runners.core.record import RunRecord
from runners.core.study import Plan
from runners.report.comparisons import batch_sizes, pairs_by_seed
from runners.report.statistics import agreement, holm
from runners.report.verdict import SEEDS_FOR_A_VERDICT
from runners.report.wording import counted, p_value, share

MCNEMAR = {"p_mcnemar_median": "float64", "p_mcnemar_holm": "float64", "n_mcnemar_below_05": "Int64"}
COLUMNS = ["track", "a", "b", "what", "n", "mean", "sd", "low", "high", *MCNEMAR]
SAME_SEED, TWO_SEEDS = "same seed", "two seeds"
OTHER_BATCHES = "same seed, other batches"
EQUAL_NUMBER = "equal seed number, which pairs nothing"
ORIGINS = {
    SAME_SEED: "from the same seed",
    OTHER_BATCHES: "from the same seed, with batches of different sizes,",
    EQUAL_NUMBER: f"at an {EQUAL_NUMBER},",
}
CHANGED_TOO = {SAME_SEED: "", OTHER_BATCHES: " and its batch size", EQUAL_NUMBER: " and its seed"}
SEEDS_FOR_ALL_PAIRS = 20  # their 190 pairs take milliseconds
MCNEMAR_NOTE = (
    "**McNemar's exact test** asks of two networks whether, of the images that only one of them gets right, each gets"
    " half. It judges these two trained networks, not two ways of training them, of which the verdict on test accuracy"
    " speaks: two seeds of one contender may differ by it too. Holm's correction is for the number of pairs in a row,"
    " and harder where they are more, so that what compares rows is the median of their p values, which is not"
    " corrected. All pairs are tested on the same images, and one contender's pairs share runs: many small p values"
    " are not as many findings."
)

Predictions = Mapping[str, np.ndarray]  # run id -> uint8 (images,)
Pair = tuple[np.ndarray, np.ndarray]
Row = dict[Any, Any]


def agreement_table(
    plan: Plan, records: Sequence[RunRecord], predictions: Predictions, labels: np.ndarray | None = None
) -> pd.DataFrame:
    """One row a track for each pair of contenders, over their equal seeds, and each contender, over every two seeds.

    `n` counts the pairs of runs; mean, SD, low and high are of the share of the images with equal predictions, a pair
    a value. A contender's pairs grow as the square of its seeds, so beyond 20 seeds they are each seed with the next,
    and the last with the first. Only completed runs with predictions count; rows without a pair are left out.

    Labels, uint8 (images,), give each pair the p value of McNemar's exact test: whether one of its two networks is
    right more often. `p_mcnemar_median` is their median as they are; `p_mcnemar_holm` the smallest of them, corrected
    for the n pairs (Holm 1979, under any dependence): whether that holds of any pair at all; `n_mcnemar_below_05`
    counts the pairs in which it is below 0.05 when so corrected. Without labels the three are empty.
    """
    rows = [
        row
        for track in plan.tracks
        for row in _of_track(plan, track, _by_contender(plan, track, records, predictions), labels)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype(MCNEMAR)


def agreement_sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The track and the sentence of each pair of contenders.

    A change of contender moves more predictions, or fewer, than a change of seed if its mean lies beyond every pair of
    seeds of either contender; else it lies within their range. Below 5 seeds neither is said.
    """
    rows = table.to_dict("records")
    return [
        (row["track"], _sentence(row, [of for of in rows if _is_within(of, row)]))
        for row in rows
        if row["what"] != TWO_SEEDS
    ]


def mcnemar_sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The track and the sentence on McNemar's test of each pair of contenders; none without labels."""
    rows = table.dropna(subset="p_mcnemar_median").to_dict("records")
    return [
        (row["track"], _mcnemar_sentence(row, [of for of in rows if _is_within(of, row)]))
        for row in rows
        if row["what"] != TWO_SEEDS
    ]


def _is_within(row: Row, across: Row) -> bool:
    of_either = row["track"] == across["track"] and row["a"] in (across["a"], across["b"])
    return row["what"] == TWO_SEEDS and of_either


def _by_contender(
    plan: Plan, track: str, records: Sequence[RunRecord], predictions: Predictions
) -> dict[str, dict[int, np.ndarray]]:
    """Predictions by contender and seed."""
    return {
        str(contender): {
            record.spec.seed: predictions[record.run_id]
            for record in records
            if (record.spec.contender, record.spec.track) == (contender, track)
            and record.status == "completed"
            and record.run_id in predictions
        }
        for contender in plan.contenders
    }


def _what(plan: Plan, track: str, a: str, b: str) -> str:
    if not pairs_by_seed(track):
        return EQUAL_NUMBER
    return SAME_SEED if len(batch_sizes(plan, a, b)) == 1 else OTHER_BATCHES


def _of_track(
    plan: Plan, track: str, by_contender: dict[str, dict[int, np.ndarray]], labels: np.ndarray | None
) -> Iterator[Row]:
    pairs: dict[tuple[str, str, str], list[Pair]] = {
        (a, b, _what(plan, track, a, b)): [
            (of_a, by_contender[b][seed]) for seed, of_a in by_contender[a].items() if seed in by_contender[b]
        ]
        for a, b in itertools.combinations(by_contender, 2)
    }
    pairs |= {(name, name, TWO_SEEDS): _pairs(list(runs.values())) for name, runs in by_contender.items()}
    for (a, b, what), chosen in pairs.items():
        if chosen:
            yield {"track": track, "a": a, "b": b, "what": what, **_of_pairs(chosen, labels)}


def _pairs(runs: list[np.ndarray]) -> list[Pair]:
    if len(runs) <= SEEDS_FOR_ALL_PAIRS:
        return list(itertools.combinations(runs, 2))
    return list(zip(runs, runs[1:] + runs[:1], strict=True))


def _of_pairs(pairs: list[Pair], labels: np.ndarray | None) -> Row:
    found = [agreement(one, other, labels) for one, other in pairs]
    shares = pd.Series([of.share for of in found])
    told = {"n": len(shares), "mean": shares.mean(), "sd": shares.std(), "low": shares.min(), "high": shares.max()}
    return told | ({} if labels is None else _tests([of.p_mcnemar for of in found]))


def _tests(pvalues: Sequence[float | None]) -> Row:
    corrected = np.array(holm(pvalues), float)
    return {
        "p_mcnemar_median": np.median(np.array(pvalues, float)),
        "p_mcnemar_holm": corrected.min(),
        "n_mcnemar_below_05": int((corrected < 0.05).sum()),
    }


def _sentence(across: Row, within: list[Row]) -> str:
    origin = ORIGINS[across["what"]]
    told = f"{across['a']} and {across['b']} {origin} agree on {share(across['mean'])} of the test images"
    seeds = ", ".join(f"of {row['a']} on {share(row['mean'])}" for row in within)
    return f"{told}{f'; two seeds {seeds}' if seeds else ''}: {_conclusion(across, within)}."


def _mcnemar_sentence(across: Row, within: list[Row]) -> str:
    pairs = counted(across["n"], "pair")
    told = (
        f"in {across['n_mcnemar_below_05']} of {pairs} of {across['a']} and {across['b']}, McNemar's exact test finds"
        f" one of the two networks right more often (p < 0.05 after Holm's correction for {pairs}); the median p,"
        f" uncorrected, is {p_value(across['p_mcnemar_median'])}"
    )
    seeds = ", ".join(f"of {row['a']} {p_value(row['p_mcnemar_median'])}" for row in within)
    return f"{told}{f', and between two seeds {seeds}' if seeds else ''}."


def _conclusion(across: Row, within: list[Row]) -> str:
    if across["n"] < SEEDS_FOR_A_VERDICT:
        return f"descriptive only, with {counted(across['n'], 'seed')} ({SEEDS_FOR_A_VERDICT} are needed)"
    low, high = min(row["low"] for row in within), max(row["high"] for row in within)
    changing = f"changing the contender{CHANGED_TOO[across['what']]} moves"
    if low <= across["mean"] <= high:
        span = f"{share(1 - high)} to {share(1 - low)}"
        return (
            f"{changing} {share(1 - across['mean'])} of the predictions, within the range of changing the seed, {span}"
        )
    more = "more" if across["mean"] < low else "fewer"
    return f"{changing}, on average, {more} predictions than changing the seed did in any two runs"
