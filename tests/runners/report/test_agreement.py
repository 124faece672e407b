import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.sections.agreement import READING, agreement_sentences, agreement_table, mcnemar_sentences
from tests.runners.report.conftest import cells, made_inputs

EQUAL_NUMBER = "equal seed number, which pairs nothing"


@pytest.fixture
def table(make_record, make_plan):
    """The agreement of runs of which each moves so many of 1,000 images, none of which another run moves."""

    def of(keras, torch, track="matched", labels=None, **given):
        moved = {("keras", seed): n for seed, n in keras.items()} | {("torch", seed): n for seed, n in torch.items()}
        records = [make_record(name, seed, track) for name, seed in moved]
        starts = np.cumsum([0, *moved.values()])
        predictions = {
            record.run_id: moving(start, n)
            for record, start, n in zip(records, starts[:-1], moved.values(), strict=True)
        }
        plan = make_plan(tracks=(track,), **given)
        return agreement_table(made_inputs(plan, records, predictions=predictions, labels=labels))

    return of


def moving(start, n):
    predictions = np.zeros(1_000, np.uint8)
    predictions[start : start + n] = 1
    return predictions


def row_of(table, a, b):
    return table[(table["a"] == a) & (table["b"] == b)].iloc[0]


def told(across, low, high, n=5, what="same seed"):
    """The conclusion of a sentence of such a mean, where two seeds of either agree on `low` to `high`."""
    rows = [
        ("matched", "keras", "torch", what, n, across, 0.01, across, across),
        ("matched", "keras", "keras", "two seeds", 10, (low + high) / 2, 0.01, low, high - 0.01),
        ("matched", "torch", "torch", "two seeds", 10, (low + high) / 2, 0.01, low + 0.01, high),
        ("native", "keras", "keras", "two seeds", 10, 0.5, 0.01, 0.0, 1.0),  # what another track or contender spans
        ("matched", "keras:mirrored:2", "keras:mirrored:2", "two seeds", 10, 0.5, 0.01, 0.0, 1.0),
    ]
    columns = ["track", "a", "b", "what", "n", "mean", "sd", "low", "high"]
    ((track, sentence),) = agreement_sentences(pd.DataFrame(rows, columns=columns))
    assert track == "matched"
    return sentence.split(": ")[1]


def test_two_contenders_agree_at_equal_seeds_and_a_contender_over_its_pairs_of_seeds(table):
    found = table({0: 10, 1: 20, 2: 30}, {0: 1, 1: 2, 2: 6})
    assert list(zip(found["a"], found["b"], found["what"], found["n"], strict=True)) == [
        ("keras", "torch", "same seed", 3),
        ("keras", "keras", "two seeds", 3),
        ("torch", "torch", "two seeds", 3),
    ]
    across = row_of(found, "keras", "torch")  # of each seed 989, 978, 964
    assert across["mean"] == pytest.approx(0.977)
    assert across["sd"] == pytest.approx(np.std([0.989, 0.978, 0.964], ddof=1))
    assert (across["low"], across["high"]) == (0.964, 0.989)
    within = row_of(found, "keras", "keras")  # of each two seeds 970, 960, 950
    assert (within["mean"], within["sd"]) == pytest.approx((0.96, 0.01))
    assert (within["low"], within["high"]) == (0.95, 0.97)


def test_only_seeds_that_both_have_are_pairs(table):
    found = table({0: 10, 1: 20, 2: 30}, {2: 1, 7: 5})
    across = row_of(found, "keras", "torch")
    assert (across["n"], across["mean"]) == (1, 0.969)
    assert np.isnan(across["sd"])
    assert row_of(found, "torch", "torch")["n"] == 1


def test_runs_without_predictions_are_left_out(make_record, make_plan):
    records = [make_record(name, seed) for name in ("keras", "torch") for seed in range(3)]
    predictions = {record.run_id: moving(0, 0) for record in records if record.run_id != "torch-matched-seed1"}
    assert list(agreement_table(made_inputs(make_plan(), records, predictions=predictions))["n"]) == [2, 3, 1]
    without = agreement_table(made_inputs(make_plan(), records))
    assert len(without) == 0
    assert agreement_sentences(without) == []


@pytest.mark.parametrize(("track", "what"), [("matched", "same seed"), ("native", EQUAL_NUMBER)])
def test_an_equal_seed_number_is_called_a_pair_only_where_it_is_one(table, track, what):
    found = table({0: 10, 1: 20}, {0: 1, 1: 2}, track)
    assert set(found["track"]) == {track}
    assert list(found["what"]) == [what, "two seeds", "two seeds"]


def test_tracks_and_contenders_stand_in_the_plan_s_order_and_never_mix(make_record, make_plan):
    plan = make_plan(contenders=("torch", "keras", "keras:mirrored:2"), tracks=("native", "matched"))
    grid = itertools.product(("keras", "keras:mirrored:2", "torch"), ("matched", "native"), range(2))
    records = [make_record(contender, seed, track) for contender, track, seed in grid]
    predictions = {record.run_id: moving(0, 0) for record in records}
    found = agreement_table(made_inputs(plan, records, predictions=predictions))
    pairs = [("torch", "keras"), ("torch", "keras:mirrored:2"), ("keras", "keras:mirrored:2")]
    pairs += [(name, name) for name in ("torch", "keras", "keras:mirrored:2")]
    expected = [(track, *pair) for track in ("native", "matched") for pair in pairs]
    assert list(found[["track", "a", "b"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize(("seeds", "pairs"), [(20, 190), (21, 21), (40, 40)])
def test_every_two_seeds_are_pairs_up_to_twenty_and_neighbours_beyond(table, seeds, pairs):
    found = table(dict.fromkeys(range(seeds), 0), {})
    assert list(found["n"]) == [pairs]


def test_neighbouring_seeds_close_a_circle(table):
    moved = dict.fromkeys(range(21), 0) | {0: 300}  # seed 0 stands beside 1 and 20
    assert row_of(table(moved, {}), "keras", "keras")["mean"] == pytest.approx((19 + 2 * 0.7) / 21)


def test_a_thousand_runs_are_a_thousand_pairs(table):
    assert list(table(dict.fromkeys(range(1000), 0), {})["n"]) == [1_000]


@pytest.mark.parametrize(
    ("across", "said"),
    [
        (
            0.899,
            "changing the contender moves, on average, more predictions than changing the seed did in any two runs.",
        ),
        (0.9, "changing the contender moves 10.00 % of the predictions, within the range of changing the seed, "),
        (0.95, "changing the contender moves 5.00 % of the predictions, within the range of changing the seed, "),
        (
            0.951,
            "changing the contender moves, on average, fewer predictions than changing the seed did in any two runs.",
        ),
    ],
)
def test_more_and_fewer_are_beyond_every_two_seeds(across, said):
    assert told(across, 0.9, 0.95).startswith(said)


def test_below_five_seeds_nothing_is_concluded():
    assert told(0.5, 0.9, 0.95, n=4) == "descriptive only, with 4 seeds (5 are needed)."
    assert told(0.5, 0.9, 0.95, n=5) != told(0.5, 0.9, 0.95, n=4)


def test_one_seed_has_no_two_seeds_beside_it(table):
    ((_, sentence),) = agreement_sentences(table({0: 10}, {0: 20}))
    assert sentence == (
        "keras and torch from the same seed agree on 97.00 % of the test images: descriptive only, with 1 seed "
        "(5 are needed)."
    )


def test_equal_predictions_throughout_are_never_called_no_difference(table):
    ((_, sentence),) = agreement_sentences(table(dict.fromkeys(range(5), 0), dict.fromkeys(range(5), 0)))
    assert "agree on 100.00 % of the test images" in sentence
    assert "no difference" not in sentence
    assert "moves 0.00 % of the predictions, within the range of changing the seed, 0.00 % to 0.00 %." in sentence


def test_the_table_for_reading(table):
    heading, across, within = cells(READING, table({0: 10, 1: 20}, {0: 1}))
    assert heading[:4] == ("track", "contenders", "runs of", "pairs of runs")
    assert heading[4:7] == ("same class, mean ± SD", "lowest", "highest")
    assert across[:7] == ("matched", "keras and torch", "same seed", "1", "98.90 %", "98.90 %", "98.90 %")
    assert within[:7] == ("matched", "keras", "two seeds", "1", "97.00 %", "97.00 %", "97.00 %")
    mean, low, high = cells(READING, table({0: 10, 1: 20}, {0: 10, 1: 30}))[1][4:7]
    assert (mean, low, high) == ("96.50 ± 2.12 %", "95.00 %", "98.00 %")


# McNemar's test: every label is 0, so that what a run moves is wrong, and no other run has it wrong

LABELS = np.zeros(1_000, np.uint8)


def pvalues(pairs):
    """Of the images that only one has wrong, is it either as often: the exact sign test, by SciPy."""
    return [stats.binomtest(a, a + b).pvalue for a, b in pairs]


def by_holm(found):
    """Holm's step-down correction, by its definition."""
    largest, corrected = 0.0, dict.fromkeys(range(len(found)), 0.0)
    for rank, place in enumerate(np.argsort(found)):
        largest = max(largest, min(1.0, (len(found) - rank) * found[place]))
        corrected[place] = largest
    return list(corrected.values())


@pytest.mark.parametrize(
    ("keras", "torch", "uncorrected", "below"),
    [
        ((20, 10, 10), (2, 2, 2), 3, 1),  # 0.0386 twice is no longer below 0.05 among three
        ((20, 10, 10), (2, 1, 2), 3, 3),  # each alone times three would leave two
        ((20, 30, 40), (20, 31, 38), 0, 0),
    ],
)
def test_mcnemar_s_p_values_are_summed_up_over_the_pairs(table, keras, torch, uncorrected, below):
    row = row_of(table(dict(enumerate(keras)), dict(enumerate(torch)), labels=LABELS), "keras", "torch")
    found = pvalues(zip(keras, torch, strict=True))
    assert sum(p < 0.05 for p in found) == uncorrected
    assert row["p_mcnemar_median"] == pytest.approx(np.median(found), rel=1e-9)
    assert row["p_mcnemar_holm"] == pytest.approx(min(by_holm(found)), rel=1e-9)
    assert row["n_mcnemar_below_05"] == sum(p < 0.05 for p in by_holm(found)) == below


def test_two_seeds_of_a_contender_are_tested_alike(table):
    row = row_of(table({0: 10, 1: 20, 2: 40}, {}, labels=LABELS), "keras", "keras")
    found = pvalues([(10, 20), (10, 40), (20, 40)])
    assert row["p_mcnemar_median"] == pytest.approx(np.median(found), rel=1e-9)
    assert row["p_mcnemar_holm"] == pytest.approx(3 * min(found), rel=1e-9)
    assert row["n_mcnemar_below_05"] == 2


def test_right_counts_and_not_agreement(make_record, make_plan):
    """Both runs differ on 40 images, and neither is right on any of them."""
    records = [make_record("keras"), make_record("torch")]
    predictions = dict(zip([record.run_id for record in records], (moving(0, 40), 2 * moving(0, 40)), strict=True))
    inputs = made_inputs(make_plan(), records, predictions=predictions, labels=LABELS)
    (row,) = agreement_table(inputs).to_dict("records")
    assert (row["mean"], row["p_mcnemar_median"], row["n_mcnemar_below_05"]) == (0.96, 1.0, 0)


def test_without_labels_mcnemar_s_columns_are_empty_and_nothing_is_said(table):
    found = table({0: 10, 1: 20}, {0: 1, 1: 2})
    assert len(found) == 3
    assert found[["p_mcnemar_median", "p_mcnemar_holm", "n_mcnemar_below_05"]].isna().all(axis=None)
    assert mcnemar_sentences(found) == []
    assert cells(READING, found)[1][7:] == ("-", "-", "-")


def test_the_sentence_on_mcnemar_s_test_has_two_seeds_beside_it(table):
    found = table({0: 20, 1: 10, 2: 10}, {0: 2, 1: 2, 2: 2}, labels=LABELS)
    ((track, told),) = mcnemar_sentences(found)
    (seeds,) = {f"{p:.2g}" for p in [np.median(pvalues([(20, 10), (20, 10), (10, 10)]))]}
    assert track == "matched"
    assert told == (
        "in 1 of 3 pairs of keras and torch, McNemar's exact test finds one of the two networks right more often "
        f"(p < 0.05 after Holm's correction for 3 pairs); the median p, uncorrected, is {pvalues([(10, 2)])[0]:.2g}, "
        f"and between two seeds of keras {seeds}, of torch 1."
    )
    smallest = f"{3 * pvalues([(20, 2)])[0]:.2g}"
    assert cells(READING, found)[1][7:] == (f"{pvalues([(10, 2)])[0]:.2g}", smallest, "1")
    ((_, alone),) = mcnemar_sentences(table({0: 10}, {0: 10}, labels=LABELS))
    assert alone.startswith("in 0 of 1 pair of keras and torch, ")
    assert alone.endswith("; the median p, uncorrected, is 1.")
