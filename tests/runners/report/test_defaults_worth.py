import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.sections.defaults import defaults_table
from runners.report.statistics.differences import difference_change
from tests.runners.report.conftest import made_inputs

METRICS = ["test_accuracy", "test_loss", "train_seconds", "total_seconds"]
BOTH = ("matched", "native")
MATCHED_A, MATCHED_B = [0.893, 0.889, 0.902, 0.897, 0.885, 0.891], [0.892, 0.890, 0.899, 0.898, 0.884, 0.889]
NATIVE_A, NATIVE_B = [0.895, 0.891, 0.899, 0.901, 0.893], [0.880, 0.886, 0.879, 0.890, 0.884]


@pytest.fixture
def table(make_record, make_plan):
    """What the defaults are worth to runs of these values of a metric, by track and contender; NaN is a failed run."""

    def of(values, metric="test_accuracy", tracks=BOTH, contenders=("keras", "torch"), **plan):
        records = [
            make_record(name, seed, track, **(FAILED if math.isnan(value) else {metric: value}))
            for (track, name), of_seeds in values.items()
            for seed, value in enumerate(of_seeds)
        ]
        declared = make_plan(contenders=contenders, tracks=tracks, **plan)
        return defaults_table(made_inputs(declared, records))

    return of


FAILED = {"status": "failed", "error": "it broke"}


def four(matched_a, matched_b, native_a, native_b):
    """Values by track and contender, given in that order."""
    cells = [(track, name) for track in BOTH for name in ("keras", "torch")]
    return dict(zip(cells, (matched_a, matched_b, native_a, native_b), strict=True))


def of(table, metric="test_accuracy"):
    return table.set_index("metric").loc[metric]


def told(table, metric="test_accuracy"):
    return of(table, metric)["sentence"]


def shifted(by, values=NATIVE_B):
    return [value + by for value in values]


def test_every_pair_has_a_row_for_every_metric_the_primary_one_first(make_plan):
    plan = make_plan(contenders=("torch", "keras", "keras:mirrored:2"), tracks=("native", "matched"))
    found = defaults_table(made_inputs(plan, []))
    pairs = [("torch", "keras"), ("torch", "keras:mirrored:2"), ("keras", "keras:mirrored:2")]
    expected = [(*pair, metric) for pair in pairs for metric in METRICS]
    assert list(found[["a", "b", "metric"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("tracks", [("matched",), ("native",)])
def test_one_track_alone_cannot_tell(table, tracks):
    found = table(four(MATCHED_A, MATCHED_B, NATIVE_A, NATIVE_B), tracks=tracks)
    assert len(found) == 0
    assert list(found.columns)[:3] == ["metric", "a", "b"]


def test_only_defaults_is_the_native_difference_less_the_matched_one(table):
    row = of(table(four(MATCHED_A, MATCHED_B, NATIVE_A, NATIVE_B)))
    pairs = np.subtract(MATCHED_B, MATCHED_A)
    assert (row["n_matched"], row["n_native"]) == (6, 5)
    assert row["matched"] == pytest.approx(pairs.mean())
    assert row["native"] == pytest.approx(np.mean(NATIVE_B) - np.mean(NATIVE_A))
    assert row["only_defaults"] == pytest.approx(row["native"] - row["matched"])
    v = [np.var(pairs, ddof=1) / 6, np.var(NATIVE_A, ddof=1) / 5, np.var(NATIVE_B, ddof=1) / 5]
    df = sum(v) ** 2 / (v[0] ** 2 / 5 + v[1] ** 2 / 4 + v[2] ** 2 / 4)
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(v))
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(
        (row["only_defaults"] - half, row["only_defaults"] + half)
    )


@pytest.mark.parametrize("metric", ["test_loss", "train_seconds", "total_seconds"])
def test_a_time_is_told_as_ratios_of_geometric_means(table, metric):
    matched_a, matched_b = [30.0, 31.5, 29.0], [24.0, 26.5, 25.0]
    native_a, native_b = [36.0, 33.0, 35.0], [20.0, 22.0, 21.0]
    row = of(table(four(matched_a, matched_b, native_a, native_b), metric), metric)
    matched, native = (stats.gmean(b) / stats.gmean(a) for a, b in ((matched_a, matched_b), (native_a, native_b)))
    assert (row["matched"], row["native"]) == pytest.approx((matched, native))
    assert row["only_defaults"] == pytest.approx(native / matched)
    logs = difference_change(*map(np.log, (matched_b, matched_a, native_b, native_a)))
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(tuple(map(math.exp, logs.ci95)))


def test_failed_runs_break_pairs_in_matched_and_only_themselves_in_native(table):
    nan = math.nan
    found = table(four([0.9, nan, 0.8], [nan, 0.7, 0.6], [nan, 0.9, 0.8, 0.7], [0.9, nan, nan, 0.5]))
    row = of(found)
    assert (row["n_matched"], row["n_native"]) == (1, 2)
    assert row["matched"] == pytest.approx(-0.2)
    assert row["native"] == pytest.approx(0.7 - 0.8)
    assert np.isnan(row["ci95_low"])
    assert row["only_defaults"] == pytest.approx(0.1)


@pytest.mark.parametrize("short", range(4))
def test_below_two_runs_in_a_cell_there_is_no_interval(table, short):
    values = [[0.9, 0.8], [0.7, 0.9], [0.8, 0.6], [0.5, 0.7]]
    assert not np.isnan(of(table(four(*values)))["ci95_low"])
    values[short] = values[short][:1]
    row = of(table(four(*values)))
    assert pd.isna(row[["ci95_low", "ci95_high"]]).all()
    assert not np.isnan(row["only_defaults"])


@pytest.mark.parametrize(
    ("values", "where"),
    [
        (([], [], [0.9], [0.8]), "matched"),
        (([0.9], [0.8], [0.9], []), "native"),
        (([0.9], [], [], [0.8]), "matched and native"),
    ],
)
def test_a_track_without_runs_is_told(table, values, where):
    found = table(four(*values))
    assert told(found) == f"Test accuracy: keras and torch have no completed runs to compare in {where}."
    assert pd.isna(of(found)["only_defaults"])


def test_the_sentence_tells_both_tracks_and_what_is_left(table):
    found = table(four(shifted(0.0006), NATIVE_B, shifted(0.0031), NATIVE_B))
    low, high = (100 * of(found)[end] for end in ("ci95_low", "ci95_high"))
    assert told(found) == (
        "Test accuracy: in matched, torch is 0.06 points lower than keras on average; in native, torch is 0.31 points "
        f"lower than keras on average; the defaults alone account for -0.25 points [{low:+.2f}, {high:+.2f}], "
        "which leaves its sign open."
    )
    assert low < 0 < high


def test_both_tracks_and_the_change_are_told_from_the_same_reference(table):
    found = table(four(shifted(0.01), NATIVE_B, shifted(-0.02), NATIVE_B))
    low, high = (100 * of(found)[end] for end in ("ci95_low", "ci95_high"))
    assert told(found) == (
        "Test accuracy: in matched, torch is 1.00 points lower than keras on average; in native, torch is 2.00 points "
        f"higher than keras on average; the defaults alone account for +3.00 points [{low:+.2f}, {high:+.2f}]."
    )
    assert 0 < low < high


def test_a_time_is_told_as_a_ratio_over_the_reference_s(table):
    found = table(four([11.0] * 5, [10.0] * 5, [10.0] * 5, [12.0] * 5), "train_seconds")
    assert told(found, "train_seconds") == (
        "Training time: in matched, torch takes 9.1 % less time than keras on average; in native, torch takes 20.0 % "
        "longer than keras on average; the defaults alone account for +32.0 % [+32.0, +32.0]."
    )


@pytest.mark.parametrize(("native", "is_open"), [([10.0, 10.4, 9.7, 10.1, 9.8], True), ([12.0] * 5, False)])
def test_a_change_of_a_time_leaves_its_sign_open_if_its_interval_holds_one(table, native, is_open):
    found = table(four([10.0] * 5, [10.0] * 5, [10.0] * 5, native), "train_seconds")
    row = of(found, "train_seconds")
    assert (row["ci95_low"] < 1 < row["ci95_high"]) == is_open
    assert ("which leaves its sign open" in row["sentence"]) == is_open


def test_equal_sides_are_told_as_such(table):
    found = told(table(four(NATIVE_B, NATIVE_B, NATIVE_A, NATIVE_B)))
    assert "in matched, keras and torch are equal on average; in native, torch is" in found
    assert "no difference" not in found


@pytest.mark.parametrize(
    ("n_matched", "n_native", "said"),
    [(4, 5, "with 4 seeds"), (5, 4, "with 4 seeds"), (1, 9, "with 1 seed ("), (5, 5, None)],
)
def test_below_five_seeds_it_is_descriptive_only(table, n_matched, n_native, said):
    rng = np.random.default_rng(0)
    a, b, c, d = (0.9 + 0.01 * rng.random(n) for n in (n_matched, n_matched, n_native, n_native))
    sentence = told(table(four(a, b, c, d)))
    assert (said is None) == ("[" in sentence)
    assert (said or "[") in sentence
    assert ("descriptive only" in sentence) == (said is not None)


def test_wild_times_cost_no_report(table):
    found = table(four([1e-150, 1e150], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]), "train_seconds")
    assert of(found, "train_seconds")["ci95_high"] == math.inf


def test_a_time_to_an_accuracy_that_a_run_never_reached_tells_nothing_of_the_defaults(table):
    reached = four(*[[0.9] * 5] * 4)
    missed = reached | {("native", "torch"): [0.9] * 4 + [0.5]}
    assert "the defaults alone account for" in told(table(reached, target_accuracy=0.899), "seconds_to_accuracy")
    row = of(table(missed, target_accuracy=0.899), "seconds_to_accuracy")
    assert row["sentence"] == (
        "Time to 89.9 % test accuracy: some runs never reached it; those that did are the faster ones, and tell "
        "nothing of the defaults."
    )
    assert row[["matched", "native", "only_defaults", "ci95_low", "ci95_high"]].isna().all()
