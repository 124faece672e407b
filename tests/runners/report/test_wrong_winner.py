"""How often one run each picks the wrong winner."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.sections.variance import Source
from runners.report.sections.wrong_winner import READING, wrong_winner_sentences, wrong_winner_table
from runners.report.tables import runs_table
from tests.runners.report.conftest import ACCURACIES, cells

AHEAD = [0.899, 0.891, 0.902, 0.898, 0.894]
CHANCE = ["wrong_winner", "wrong_winner_low", "wrong_winner_high"]


@pytest.fixture
def table(make_runs):
    """The table of keras against torch, whose accuracies are `ahead`; `changed` are torch's."""

    def of(ahead=AHEAD, vary="all", **given):
        return wrong_winner_table(
            {vary: Source(pd.concat([make_runs(), make_runs("torch", accuracies=ahead, **given)]))}
        )

    return of


def test_the_chance_of_the_wrong_winner_is_mann_and_whitney_s_u_of_all_pairs(table):
    (row,) = table().to_dict("records")
    u = stats.mannwhitneyu(ACCURACIES, AHEAD).statistic / 25
    assert u % 0.04 == pytest.approx(0.02)  # one tie is among them
    assert row["wrong_winner"] == pytest.approx(u)
    for end in (row["wrong_winner_low"], row["wrong_winner_high"]):  # where u is 1.96 standard errors away
        spread = 1 + 4 * ((1 - end) / (2 - end) + end / (1 + end))  # Hanley and McNeil (1982), 5 runs each
        assert abs(end - u) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) * spread / 25), rel=1e-5)
    assert row["wrong_winner_low"] < u < row["wrong_winner_high"]
    assert (row["vary"], row["track"], row["better"], row["worse"]) == ("all", "matched", "torch", "keras")
    assert row["difference"] == pytest.approx(np.mean(AHEAD) - np.mean(ACCURACIES))


def test_runs_that_did_not_complete_are_in_no_number(table):
    (row,) = table(changed={0: {"status": "failed"}}).to_dict("records")
    assert (row["better"], row["n_better"], row["n_worse"]) == ("torch", 4, 5)
    assert row["wrong_winner"] == pytest.approx(stats.mannwhitneyu(ACCURACIES, AHEAD[1:]).statistic / 20)


def test_of_equal_means_there_is_no_wrong_winner(table):
    in_another_order = [0.889, 0.902, 0.897, 0.893, 0.885]
    assert np.mean(ACCURACIES) != np.mean(in_another_order)  # by rounding
    for ahead in (ACCURACIES, in_another_order):
        rows = table(ahead)
        assert list(rows[["better", "worse"]].iloc[0]) == ["keras", "torch"]
        assert rows["difference"].tolist() == [0]
        assert rows[CHANCE].isna().all(axis=None)
        assert wrong_winner_sentences(rows) == []


@pytest.mark.parametrize("completed", [0, 1])
def test_below_two_runs_of_either_nothing_is_told(table, completed):
    rows = table(changed={seed: {"status": "oom"} for seed in range(completed, 5)})
    assert len(rows) == completed
    assert rows[CHANCE].isna().all(axis=None)
    assert wrong_winner_sentences(rows) == []


def test_two_runs_of_each_are_enough(table):
    (row,) = table(changed={seed: {"status": "oom"} for seed in range(2, 5)}).to_dict("records")
    assert (row["better"], row["n_better"], row["n_worse"]) == ("torch", 2, 5)
    assert row["wrong_winner"] == pytest.approx(stats.mannwhitneyu(ACCURACIES, AHEAD[:2]).statistic / 10)


def test_there_is_a_row_for_each_source_track_and_pair(make_runs):
    names = ("torch", "keras", "torch#2")
    three = pd.concat([make_runs(name, accuracies=np.array(AHEAD) - i / 100) for i, name in enumerate(names)])
    both = pd.concat([make_runs(name, track) for track in ("native", "matched") for name in ("keras", "torch")])
    rows = wrong_winner_table({"nothing": Source(three), "all": Source(both)})
    expected = [("all", "native", "keras", "torch"), ("all", "matched", "keras", "torch")]
    expected += [("nothing", "matched", *pair) for pair in (names[:2], names[::2], names[1:])]
    assert list(rows[["vary", "track", "better", "worse"]].itertuples(index=False, name=None)) == expected
    assert wrong_winner_table({"all": Source(make_runs())}).empty
    assert wrong_winner_table({"all": Source(runs_table([]))})[CHANCE].dtypes.eq(float).all()


def test_the_sentence_and_the_grid_say_what_the_table_says(table):
    rows = table(vary="order")
    ((vary, told),) = wrong_winner_sentences(rows)
    chance, low, high = (f"{100 * rows[name].iloc[0]:.0f}" for name in CHANCE)
    assert vary == "order"
    assert told == (
        "torch is ahead of keras in mean accuracy (matched); one run each picks the wrong winner in "
        f"{chance} % of cases [{low} %, {high} %]."
    )
    heading, row = cells(READING, rows)
    by = f"{100 * (np.mean(AHEAD) - np.mean(ACCURACIES)):.2f}"
    assert row == ("batch order only", "matched", "torch", "keras", "5, 5", by, f"{chance} %", f"[{low}, {high}]")
    assert len(heading) == len(row)
    assert cells(READING, table(ACCURACIES))[1][5:] == ("0.00", "-", "-")
