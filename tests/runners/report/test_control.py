import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.sections.comparison.section import control_sentences
from runners.report.sections.comparison.table import comparisons_table
from tests.runners.report.conftest import made_inputs

SECONDS = {
    "torch": [29.0, 30.9, 30.2, 29.8, 30.1],
    "torch#2": [29.9, 30.6, 30.8, 30.3, 30.4],
    "torch#3": [30.0] * 5,
}
OPENING = "torch and torch#2 are the same framework (matched): whatever differs between them is chance and machine; "


@pytest.fixture
def control(make_record, make_plan):
    """The sentences on runs that took the seconds above and, unless told otherwise, are equally accurate."""

    def told(contenders, seeds=range(5), tracks=("matched",), accuracies=None):
        records = [
            make_record(
                name,
                seed,
                track,
                test_accuracy=(accuracies or {}).get(name, [0.9] * 5)[seed],
                test_loss=0.3,
                train_seconds=SECONDS.get(name, SECONDS["torch"])[seed],
                total_seconds=2 * SECONDS.get(name, SECONDS["torch"])[seed],
            )
            for track in tracks
            for name in contenders
            for seed in seeds
        ]
        return control_sentences(
            comparisons_table(made_inputs(make_plan(contenders=contenders, tracks=tracks), records))
        )

    return told


def test_a_pair_of_copies_is_told_with_intervals(control):
    (sentence,) = control(("torch", "torch#2"))
    logs = np.log(SECONDS["torch#2"]) - np.log(SECONDS["torch"])
    low, high = stats.t.interval(0.95, 4, logs.mean(), stats.sem(logs))
    middle, low, high = (f"{100 * np.expm1(value):+.1f}" for value in (logs.mean(), low, high))
    assert (middle[0], low[0], high[0]) == ("+", "-", "+")
    assert sentence == (
        f"{OPENING}test accuracy came out the same every time, test loss came out the same every time, "
        f"training time differed by {middle} % [{low}, {high}], "
        f"total time differed by {middle} % [{low}, {high}] with nothing to cause it. "
        "Set what differs between frameworks against this."
    )


def test_the_copy_that_is_named_first_is_the_reference(control):
    (back,) = control(("torch#2", "torch"))
    logs = np.log(SECONDS["torch"]) - np.log(SECONDS["torch#2"])
    middle, *ends = logs.mean(), *stats.t.interval(0.95, 4, logs.mean(), stats.sem(logs))
    low, high = (f"{100 * np.expm1(end):+.1f}" for end in ends)
    assert "; test accuracy came out the same every time, test loss came" in back
    assert f"training time differed by {100 * np.expm1(middle):+.1f} % [{low}, {high}], " in back


def test_accuracies_that_differ_are_told_in_points(control):
    accuracies = {"torch": [0.89, 0.9, 0.9, 0.9, 0.9], "torch#2": [0.9, 0.9, 0.9, 0.9, 0.905]}
    (sentence,) = control(("torch", "torch#2"), accuracies=accuracies)
    low, high = stats.ttest_rel(accuracies["torch#2"], accuracies["torch"]).confidence_interval(0.95)
    assert f"; test accuracy differed by +0.30 points [{100 * low:+.2f}, {100 * high:+.2f}], " in sentence


def test_equal_means_of_runs_that_differ_are_not_told_as_the_same(control):
    accuracies = {"torch": [0.9, 0.8, 0.9, 0.9, 0.9], "torch#2": [0.8, 0.9, 0.9, 0.9, 0.9]}
    (sentence,) = control(("torch", "torch#2"), accuracies=accuracies)
    assert "; test accuracy differed by 0.00 points [-8.78, +8.78], " in sentence


def test_one_pair_of_runs_has_no_interval_and_none_no_number(control):
    (one,), (none,) = control(("torch", "torch#2"), seeds=[0]), control(("torch", "torch#2"), seeds=[])
    assert "training time differed by +3.1 %, total time differed by +3.1 % with nothing to cause it" in one
    assert none == f"{OPENING}none of their runs can be compared yet."


def test_wild_times_are_told_too(make_record, make_plan):
    seconds = {"torch": (1e-300, 1.0), "torch#2": (1.0, 1e300)}
    records = [make_record(name, seed, train_seconds=seconds[name][seed]) for name in seconds for seed in (0, 1)]
    table = comparisons_table(made_inputs(make_plan(contenders=tuple(seconds), tracks=("matched",)), records))
    wild = table.assign(ci95_low=0.0, ci95_high=np.inf)[table["metric"] == "train_seconds"]
    assert " % [-100.0, +inf] with nothing to cause it" in control_sentences(wild)[0]


def test_every_pair_of_copies_on_every_track_is_told_and_no_other():
    contenders = ("torch", "keras", "torch#2", "torch#3", "keras#2", "torch:ddp:2", "torch:ddp:2#2", "torch:ddp:4")
    pairs = itertools.combinations(contenders, 2)
    rows = [(track, *pair) for track, pair in itertools.product(("matched", "native"), pairs)]
    table = pd.DataFrame(rows, columns=["track", "a", "b"]).assign(metric="test_accuracy", difference=None)
    assert [sentence.split(": whatever")[0] for sentence in control_sentences(table)] == [
        f"{pair} are the same framework ({track})"
        for track in ("matched", "native")
        for pair in (
            "torch and torch#2",
            "torch and torch#3",
            "keras and keras#2",
            "torch#2 and torch#3",
            "torch:ddp:2 and torch:ddp:2#2",
        )
    ]


def test_each_sentence_has_the_numbers_of_its_own_track_and_pair():
    rows = [(track, "torch", other) for track in ("matched", "native") for other in ("torch#2", "torch#3")]
    table = pd.DataFrame(rows, columns=["track", "a", "b"]).assign(
        metric="test_accuracy", ci95_low=None, ci95_high=None
    )
    told = control_sentences(table.assign(difference=[0.01, 0.02, 0.03, 0.04]))
    for sentence, points in zip(told, ("1.00", "2.00", "3.00", "4.00"), strict=True):
        assert f"machine; test accuracy differed by +{points} points with" in sentence


def test_different_frameworks_have_no_control(control):
    assert control(("keras", "torch")) == []
    assert control(("keras",)) == []
