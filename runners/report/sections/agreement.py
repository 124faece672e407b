"""Do they predict the same? The share of test images for which two runs predict the same class.

Changing the seed alone changes predictions too, so two contenders are shown beside two seeds of one contender.
"""

import itertools
from collections.abc import Iterator, Sequence
from math import isnan

import numpy as np
import pandas as pd

from lenet.data import TEST_IMAGES
from runners.core.study import Plan
from runners.report.columns import Column, Row, tabulate
from runners.report.dictionary import columns_of
from runners.report.inputs import Inputs
from runners.report.metrics import SEEDS_FOR_A_VERDICT
from runners.report.section import Section
from runners.report.sections.comparison.table import batch_sizes, pairs_by_seed
from runners.report.statistics.differences import holm
from runners.report.statistics.images import agreement, mcnemar_p
from runners.report.wording import ABSENT, counted, p_value, per_cent, too_few

MCNEMAR = {"p_mcnemar_median": "float64", "p_mcnemar_holm": "float64", "n_mcnemar_below_05": "Int64"}
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
NOTES = (
    f"The share of the {TEST_IMAGES:,} test images for which two runs predict the same class after their last epoch, be"
    " it the right one or not. Two contenders give one value a seed; a contender gives one for every two of its"
    f" seeds, and with more than {SEEDS_FOR_ALL_PAIRS} seeds one for each seed and the next. Pairs of one"
    " contender share runs, so their SD is no measure of how sure the mean is. More or fewer is said where the"
    " mean over contenders lies beyond every value that two seeds of either gave, as a description of these runs"
    " and not as a test.",
    "**McNemar's exact test** asks of two networks whether, of the images that only one of them gets right, each gets"
    " half. It judges these two trained networks, not two ways of training them, of which the verdict on test accuracy"
    " speaks: two seeds of one contender may differ by it too. Holm's correction is for the number of pairs in a row,"
    " and harder where they are more, so that what compares rows is the median of their p values, which is not"
    " corrected. All pairs are tested on the same images, and one contender's pairs share runs: many small p values"
    " are not as many findings.",
)

Pair = tuple[np.ndarray, np.ndarray]


def section(inputs: Inputs) -> Section:
    """Show for how many test images runs predict the same class."""
    table, title = agreement_table(inputs), "Do they predict the same?"
    data = {"agreement": table}
    if table.empty:
        return Section("agreement", title, ["No two runs to compare."], data=data)
    sentences = [*agreement_sentences(table), *mcnemar_sentences(table)]
    words = [f"**{track}**: {sentence}" for track, sentence in sentences]
    reading = tabulate("On how many test images two runs predict the same class", READING, table, "agreement")
    return Section("agreement", title, words, [reading], notes=NOTES, data=data)


def agreement_table(inputs: Inputs) -> pd.DataFrame:
    """Return one row a track for each pair of contenders, over their equal seeds, and each contender, over two seeds.

    `n` counts the pairs of runs; mean, SD, low and high are of the share of the images with equal predictions, a pair
    a value. A contender's pairs grow as the square of its seeds, so beyond 20 seeds they are each seed with the next,
    and the last with the first. Only completed runs with predictions count; rows without a pair are left out.

    Labels give each pair the p value of McNemar's exact test: whether one of its two networks is right more often.
    `p_mcnemar_median` is the median of the uncorrected p values; `p_mcnemar_holm` the smallest p value, corrected for
    the n pairs (Holm 1979, under any dependence): below 0.05 at least one pair differs; `n_mcnemar_below_05` counts
    the pairs with a corrected p below 0.05. Without labels the three are empty.
    """
    rows = [row for track in inputs.plan.tracks for row in _of_track(inputs, track)]
    return pd.DataFrame(rows, columns=columns_of("agreement")).astype(MCNEMAR)


def agreement_sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the track and the sentence of each pair of contenders.

    A change of contender changes more predictions, or fewer, than a change of seed if its mean lies beyond every pair
    of seeds of either contender; else it lies within their range. Below 5 seeds neither is said.
    """
    return [(row["track"], _sentence(row, within)) for row, within in _across_and_within(table)]


def mcnemar_sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the track and the sentence on McNemar's test of each pair of contenders; none without labels."""
    known = table.dropna(subset="p_mcnemar_median")
    return [(row["track"], _mcnemar_sentence(row, within)) for row, within in _across_and_within(known)]


def _across_and_within(table: pd.DataFrame) -> Iterator[tuple[Row, list[Row]]]:
    """Yield the row of each pair of contenders, with the rows of two seeds of either contender."""
    rows = table.to_dict("records")
    for across in (row for row in rows if row["what"] != TWO_SEEDS):
        own = [row for row in rows if row["what"] == TWO_SEEDS and row["track"] == across["track"]]
        yield across, [row for row in own if row["a"] in (across["a"], across["b"])]


def _of_track(inputs: Inputs, track: str) -> Iterator[Row]:
    by_contender = _by_contender(inputs, track)
    pairs: dict[tuple[str, str, str], list[Pair]] = {
        (a, b, _what(inputs.plan, track, a, b)): [
            (of_a, by_contender[b][seed]) for seed, of_a in by_contender[a].items() if seed in by_contender[b]
        ]
        for a, b in itertools.combinations(by_contender, 2)
    }
    pairs |= {(name, name, TWO_SEEDS): _pairs(list(runs.values())) for name, runs in by_contender.items()}
    for (a, b, what), chosen in pairs.items():
        if chosen:
            yield {"track": track, "a": a, "b": b, "what": what, **_of_pairs(chosen, inputs.labels)}


def _by_contender(inputs: Inputs, track: str) -> dict[str, dict[int, np.ndarray]]:
    """Return predictions by contender and seed."""
    predictions: dict[str, dict[int, np.ndarray]] = {str(contender): {} for contender in inputs.plan.contenders}
    for record in inputs.records:
        if record.spec.track == track and record.run_id in inputs.predictions:
            predictions[str(record.spec.contender)][record.spec.seed] = inputs.predictions[record.run_id]
    return predictions


def _what(plan: Plan, track: str, a: str, b: str) -> str:
    if not pairs_by_seed(track):
        return EQUAL_NUMBER
    return SAME_SEED if len(batch_sizes(plan, a, b)) == 1 else OTHER_BATCHES


def _pairs(runs: list[np.ndarray]) -> list[Pair]:
    if len(runs) <= SEEDS_FOR_ALL_PAIRS:
        return list(itertools.combinations(runs, 2))
    return list(zip(runs, runs[1:] + runs[:1], strict=True))


def _of_pairs(pairs: list[Pair], labels: np.ndarray | None) -> Row:
    shares = pd.Series([agreement(one, other) for one, other in pairs])
    row = {"n": len(shares), "mean": shares.mean(), "sd": shares.std(), "low": shares.min(), "high": shares.max()}
    return row | ({} if labels is None else _tests([mcnemar_p(one, other, labels) for one, other in pairs]))


def _tests(pvalues: Sequence[float]) -> Row:
    corrected = np.array(holm(pvalues), float)
    return {
        "p_mcnemar_median": np.median(pvalues),
        "p_mcnemar_holm": corrected.min(),
        "n_mcnemar_below_05": int((corrected < 0.05).sum()),
    }


def _sentence(across: Row, within: list[Row]) -> str:
    origin = ORIGINS[across["what"]]
    agree = f"{across['a']} and {across['b']} {origin} agree on {_share(across['mean'])} of the test images"
    seeds = ", ".join(f"of {row['a']} on {_share(row['mean'])}" for row in within)
    return f"{agree}{f'; two seeds {seeds}' if seeds else ''}: {_conclusion(across, within)}."


def _mcnemar_sentence(across: Row, within: list[Row]) -> str:
    pairs = counted(across["n"], "pair")
    test = (
        f"in {across['n_mcnemar_below_05']} of {pairs} of {across['a']} and {across['b']}, McNemar's exact test finds"
        f" one of the two networks right more often (p < 0.05 after Holm's correction for {pairs}); the median p,"
        f" uncorrected, is {p_value(across['p_mcnemar_median'])}"
    )
    seeds = ", ".join(f"of {row['a']} {p_value(row['p_mcnemar_median'])}" for row in within)
    return f"{test}{f', and between two seeds {seeds}' if seeds else ''}."


def _conclusion(across: Row, within: list[Row]) -> str:
    if across["n"] < SEEDS_FOR_A_VERDICT:
        return f"descriptive only, {too_few(across['n'])}"
    low, high = min(row["low"] for row in within), max(row["high"] for row in within)
    changing = f"changing the contender{CHANGED_TOO[across['what']]} moves"
    if low <= across["mean"] <= high:
        span, moved = f"{_share(1 - high)} to {_share(1 - low)}", _share(1 - across["mean"])
        return f"{changing} {moved} of the predictions, within the range of changing the seed, {span}"
    more = "more" if across["mean"] < low else "fewer"
    return f"{changing}, on average, {more} predictions than changing the seed did in any two runs"


def _share(value: float) -> str:
    """Write a share in per cent, to one of 10,000 images."""
    return per_cent(value, 2)


def _mean_and_sd(row: Row) -> str:
    return _share(row["mean"]) if isnan(row["sd"]) else f"{100 * row['mean']:.2f} ± {_share(row['sd'])}"


def _below_05(row: Row) -> str:
    return ABSENT if pd.isna(row["n_mcnemar_below_05"]) else str(row["n_mcnemar_below_05"])


READING = (
    Column("track", "track", is_number=False),
    Column("contenders", lambda row: " and ".join(dict.fromkeys([row["a"], row["b"]])), is_number=False),
    Column("runs of", "what", is_number=False),
    Column("pairs of runs", "n"),
    Column("same class, mean ± SD", _mean_and_sd),
    Column("lowest", lambda row: _share(row["low"])),
    Column("highest", lambda row: _share(row["high"])),
    Column("McNemar's p, median", lambda row: p_value(row["p_mcnemar_median"])),
    Column("smallest p (Holm)", lambda row: p_value(row["p_mcnemar_holm"])),
    Column("pairs below 0.05 (Holm)", _below_05),
)
