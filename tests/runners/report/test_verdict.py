import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.report.statistics import (
    Comparison,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)
from runners.report.verdict import METRICS, TIME_TO_ACCURACY, Metric, Verdict, compare, verdict

ACCURACY, LOSS, TRAINING, SPEED, TOTAL = METRICS
ERROR = Metric("test_error", "Test error", higher_is_better=False, margin=0.005, ratio=False, larger="higher")


def points(difference, half95, half90=None, n=10, margin=0.5):
    """A comparison of accuracies, all given in percentage points."""
    m, h95, h90 = (x / 100 for x in (difference, half95, half95 * 0.8 if half90 is None else half90))
    return Comparison(n, n, n, m, (m - h95, m + h95), (m - h90, m + h90), None, None, margin / 100, True, None)


def ratio(difference, ci95, ci90=None, n=10):
    return Comparison(n, n, n, difference, ci95, ci90 or ci95, None, None, 1.05, True, None, ratio=True)


def told(comparison, metric=ACCURACY):
    found = verdict(comparison, "Keras", "PyTorch", metric)
    return found.kind, found.sentence


def test_the_metrics_and_their_margins():
    assert [(m.name, m.margin, m.ratio, m.higher_is_better, m.primary) for m in METRICS] == [
        ("test_accuracy", 0.005, False, True, True),
        ("test_loss", 1.05, True, False, False),
        ("train_seconds", 1.05, True, False, False),
        ("images_per_second", 1.05, True, True, False),
        ("total_seconds", 1.05, True, False, False),
    ]


def test_below_five_seeds_there_is_no_verdict():
    assert told(points(3.0, 0.1, n=4)) == (
        "descriptive",
        "Test accuracy: descriptive only, no verdict with 4 seeds (5 are needed); "
        "Keras is 3.00 percentage points higher on average.",
    )
    assert told(points(3.0, 0.1, n=5))[0] == "better"


@pytest.mark.parametrize("compare_unpaired", [paired_comparison, welch_comparison])
def test_no_seed_or_one_is_described_too(compare_unpaired):
    assert told(compare_unpaired([], [], 0.005)) == (
        "descriptive",
        "Test accuracy: descriptive only, no verdict with 0 seeds (5 are needed).",
    )
    assert told(compare_unpaired([0.9], [0.9], 0.005)) == (
        "descriptive",
        "Test accuracy: descriptive only, no verdict with 1 seed (5 are needed); "
        "Keras and PyTorch are equal on average.",
    )


def test_the_smaller_side_counts_its_seeds():
    assert told(welch_comparison([0.9, 0.91, 0.92, 0.93], [0.5] * 9, 0.005))[0] == "descriptive"


def test_better_in_accuracy():
    sentence = "Test accuracy: {} is better by 0.82 percentage points [0.61, 1.03], beyond the margin of 0.5 {}."
    assert told(points(0.82, 0.21)) == ("better", sentence.format("Keras", "percentage points"))
    assert told(points(-0.82, 0.21)) == ("better", sentence.format("PyTorch", "percentage points"))


def test_better_in_time_is_the_faster_one():
    sentence = (
        "Training time: {0} is better by 22.0 % [18.0 %, 26.0 %], beyond the margin of 5 %: "
        "{1} is that much slower than {0}."
    )
    slower, faster = ratio(1.22, (1.18, 1.26)), ratio(1 / 1.22, (1 / 1.26, 1 / 1.18))
    assert told(slower, TRAINING) == ("better", sentence.format("PyTorch", "Keras"))
    assert told(faster, TRAINING) == ("better", sentence.format("Keras", "PyTorch"))
    assert told(faster, TOTAL)[1].startswith("Total time: Keras is better by 22.0 % [")


def test_better_where_a_speed_or_an_error_is_compared():
    assert told(ratio(1.22, (1.18, 1.26)), SPEED)[1] == (
        "Images per second: Keras is better by 22.0 % [18.0 %, 26.0 %], beyond the margin of 5 %: "
        "Keras is that much faster than PyTorch."
    )
    assert told(points(0.82, 0.21), ERROR)[1] == (
        "Test error: PyTorch is better by 0.82 percentage points [0.61, 1.03], beyond the margin of 0.5 "
        "percentage points."
    )


def test_equivalent_in_accuracy():
    assert told(points(0.1, 0.45, half90=0.3)) == (
        "equivalent",  # the 95 % interval reaches beyond the margin, which does not matter
        "Test accuracy: equivalent within the margin of 0.5 percentage points; "
        "Keras is 0.10 percentage points higher on average (90 % interval [-0.20, 0.40]).",
    )
    assert told(points(-0.1, 0.05, half90=0.04)) == (
        "equivalent",
        "Test accuracy: equivalent within the margin of 0.5 percentage points; "
        "a detectable difference, smaller than the margin; "
        "PyTorch is 0.10 percentage points higher on average (90 % interval [0.06, 0.14]).",
    )
    assert "detectable" not in told(points(0.2, 0.21, half90=0.19))[1]  # by the 95 % interval, not the 90 % one
    assert told(points(0.0, 0.2))[1] == (
        "Test accuracy: equivalent within the margin of 0.5 percentage points; "
        "Keras and PyTorch are equal on average (90 % interval [-0.16, 0.16])."
    )


def test_equivalent_in_time():
    assert told(ratio(1.01, (0.98, 1.041), (0.985, 1.036)), TRAINING) == (
        "equivalent",
        "Training time: equivalent within the margin of 5 %; "
        "Keras is 1.0 % slower on average (90 % interval [-1.5 %, 3.6 %]).",
    )


def test_different():
    assert told(points(0.6, 0.3)) == (
        "different",
        "Test accuracy: different; its size against the margin is unresolved; "
        "Keras is 0.60 percentage points higher on average [0.30, 0.90], with a margin of 0.5 percentage points.",
    )
    assert told(ratio(1 / 1.06, (1 / 1.09, 1 / 1.03)), TRAINING) == (
        "different",
        "Training time: different; its size against the margin is unresolved; "
        "PyTorch is 6.0 % slower on average [3.0 %, 9.0 %], with a margin of 5 %.",
    )


def test_a_loss_is_told_in_per_cent_of_itself():
    assert told(ratio(1.22, (1.18, 1.26)), LOSS)[1] == (
        "Test loss: PyTorch is better by 22.0 % [18.0 %, 26.0 %], beyond the margin of 5 %: "
        "Keras is that much higher than PyTorch."
    )


@pytest.mark.parametrize(
    ("comparison", "change"),
    [
        (points(3.0, 0.1, n=3), "At least 2 more seeds for a verdict."),
        (points(3.0, 0.1, n=4), "At least 1 more seed for a verdict."),
        (points(-0.82, 0.21), "This holds for any margin below 0.61 percentage points."),
        (points(0.1, 0.45, half90=0.3), "This holds for any margin above 0.40 percentage points."),
        # 10 (0.3/0.1)^2 = 90, less 10; 10 (0.3/0.1)^2, less 10, for the 90 % interval
        (points(0.6, 0.301), "At least 81 more seeds to show that it is beyond the margin."),
        (points(-0.4, 0.301, half90=0.299), "At least 80 more seeds to show that it is within the margin."),
        (points(0.5, 0.3), "It lies at the margin itself, where no number of seeds settles its size."),
        (points(0.2, 0.6, half90=0.5), ""),  # the sentence has it
    ],
)
def test_what_would_change_a_verdict_is_said(comparison, change):
    assert verdict(comparison, "Keras", "PyTorch", ACCURACY).would_change == change


def test_a_margin_just_within_what_would_change_the_verdict_leaves_it():
    for comparison, kept, lost in ((points(0.82, 0.21), 0.6099, 0.6101), (points(0.1, 0.45, 0.3), 0.4001, 0.3999)):
        kind = told(comparison)[0]
        assert (
            told(replace(comparison, margin=kept / 100))[0] == kind != told(replace(comparison, margin=lost / 100))[0]
        )


@pytest.mark.parametrize(
    ("comparison", "metric", "change"),
    [  # to the nearest digit it would be 0.62, 0.40, 18.3 % and 3.5 %, each a claim of more than is shown
        (points(0.8263, 0.21), ACCURACY, "any margin below 0.61 percentage points."),
        (points(0.1042, 0.45, half90=0.3), ACCURACY, "any margin above 0.41 percentage points."),
        (ratio(1.22, (1.1826, 1.26)), TRAINING, "any margin below 18.2 %."),
        (ratio(1.01, (0.98, 1.041), (0.985, 1.0352)), TRAINING, "any margin above 3.6 %."),
    ],
)
def test_a_margin_that_would_change_a_verdict_is_never_overstated(comparison, metric, change):
    assert verdict(comparison, "Keras", "PyTorch", metric).would_change == f"This holds for {change}"


@pytest.mark.parametrize("comparison", [points(0.82, 0.21), points(0.1, 0.2, n=3), points(0.1, 0.45, half90=0.3)])
def test_repetitions_of_one_draw_carry_no_verdict_however_many_they_are(comparison):
    found = verdict(comparison, "Keras", "PyTorch", ACCURACY, one_draw=True)
    assert found == Verdict(
        "descriptive",
        f"Test accuracy: descriptive only, no verdict where all runs repeat one draw ({comparison.n} runs each); "
        f"Keras is {100 * comparison.difference:.2f} percentage points higher on average.",
        "Runs of several draws would give one: --vary all, and another --out.",
    )
    nothing = verdict(paired_comparison([], [], 0.005), "Keras", "PyTorch", ACCURACY, one_draw=True)
    assert nothing.sentence.endswith("no verdict where all runs repeat one draw (0 runs each).")


def test_runs_that_never_reached_the_target_leave_no_verdict():
    lower = "A target that every run reaches would give one: a lower --target-accuracy, or more --epochs."
    fast, nothing = ratio(1.22, (1.18, 1.26)), ratio_comparison([], [], 1.05, paired=True)
    opening = (
        "Time to accuracy: descriptive only, no verdict where runs never reached it: 1 run of Keras and 0 runs of "
    )
    among = "PyTorch; among those that did, Keras is 22.0 % slower on average."
    assert verdict(fast, "Keras", "PyTorch", TIME_TO_ACCURACY, (1, 0)) == Verdict("descriptive", opening + among, lower)
    assert verdict(nothing, "Keras", "PyTorch", TIME_TO_ACCURACY, (1, 0)).sentence == f"{opening}PyTorch."
    assert told(fast, TIME_TO_ACCURACY)[0] == verdict(fast, "K", "P", TIME_TO_ACCURACY, (0, 0)).kind == "better"


def test_inconclusive_prints_both_numbers_of_runs():
    # 10 (0.6/0.2)^2 = 90, less 10; 10 (0.5/0.3)^2 = 27.8, less 10
    assert told(points(0.2, 0.6, half90=0.5)) == (
        "inconclusive",
        "Test accuracy: inconclusive; at least 80 more seeds to show a difference, at least 18 to show equivalence; "
        "Keras is 0.20 percentage points higher on average [-0.40, 0.80], with a margin of 0.5 percentage points.",
    )
    # 10 (0.905/0.01)^2 = 81902.5
    assert "at least 81,893 more seeds to show a difference" in told(points(0.01, 0.905))[1]


def test_inconclusive_where_no_number_of_runs_would_do():
    level = told(points(0.0, 0.7, half90=0.6))  # 10 (0.6/0.5)^2 = 14.4
    assert level[1] == (
        "Test accuracy: inconclusive; at least 5 more seeds to show equivalence, no number to show a difference; "
        "Keras and PyTorch are equal on average [-0.70, 0.70], with a margin of 0.5 percentage points."
    )
    beyond = told(points(0.75, 0.77))  # 10 (0.77/0.75)^2 = 10.5
    assert beyond[1].startswith(
        "Test accuracy: inconclusive; at least 1 more seed to show a difference, no number to show equivalence; "
    )
    assert (level[0], beyond[0]) == ("inconclusive", "inconclusive")


@pytest.mark.parametrize(
    ("ci95", "ci90", "kind"),
    [
        ((0.625, 2.0), (0.75, 1.5), "better"),
        ((0.5, 2.0), (0.75, 1.5), "different"),  # to touch the margin is not to be outside
        ((-2.0, -0.625), (-1.5, -0.75), "better"),
        ((-2.0, -0.5), (-1.5, -0.75), "different"),
        ((-1.0, 1.0), (-0.375, 0.375), "equivalent"),
        ((-1.0, 1.0), (-0.375, 0.5), "inconclusive"),  # nor inside
        ((-1.0, 1.0), (-0.5, 0.375), "inconclusive"),
        ((0.125, 1.0), (0.25, 0.375), "equivalent"),  # before "different"
        ((0.125, 1.0), (0.25, 0.75), "different"),
        ((0.0, 1.0), (0.25, 0.75), "inconclusive"),  # to touch zero is not to exclude it
        ((-1.0, 0.0), (-0.75, -0.25), "inconclusive"),
        ((-1.0, -0.125), (-0.75, -0.25), "different"),
    ],
)
def test_the_first_rule_that_matches(ci95, ci90, kind):
    middle = sum(ci95) / 2
    comparison = Comparison(5, 5, 5, middle, ci95, ci90, None, None, 0.5, False, None)
    assert told(comparison)[0] == kind
    assert told(replace(comparison, n=4))[0] == "descriptive"


@pytest.mark.parametrize(
    ("ci95", "kind"),
    [
        ((1.051, 1.2), "better"),
        ((0.8, 0.952), "better"),  # a side is 5 % slower at 1.05 and at 1 / 1.05 = 0.9524
        ((0.8, 0.953), "different"),
        ((0.953, 1.049), "equivalent"),
        ((0.951, 1.049), "inconclusive"),
        ((1.049, 1.2), "different"),
    ],
)
def test_the_margin_of_a_ratio_is_the_same_for_either_side(ci95, kind):
    assert told(ratio(math.sqrt(math.prod(ci95)), ci95), TRAINING)[0] == kind


def test_no_sentence_shows_a_negative_zero():
    assert told(points(0.1, 0.103, half90=0.103))[1].endswith("[0.00, 0.20]).")
    assert "[0.0 %, 2.0 %]" in told(ratio(1.01, (0.9999, 1.02)), TRAINING)[1]


def test_a_metric_and_its_comparison_must_agree():
    with pytest.raises(ValueError, match="both be ratios or neither"):
        told(points(1, 1), TRAINING)
    with pytest.raises(ValueError, match="both be ratios or neither"):
        told(ratio(1.1, (1.0, 1.2)), ACCURACY)


@pytest.mark.parametrize("paired", [True, False])
def test_compare_takes_the_metric_s_comparison_and_margin(paired):
    a, b = [0.91, 0.9, 0.92, 0.9, 0.93], [0.9, 0.91, 0.9, 0.9, 0.9]
    plain = paired_comparison if paired else welch_comparison
    assert compare(ACCURACY, a, b, paired=paired) == plain(a, b, 0.005)
    assert compare(TRAINING, a, b, paired=paired) == ratio_comparison(a, b, 1.05, paired)


@given(
    st.lists(st.tuples(st.integers(8800, 9200), st.integers(8800, 9200)), min_size=1, max_size=12),
    st.sampled_from([ACCURACY, TRAINING]),
    st.booleans(),
)
def test_any_runs_get_the_same_verdict_from_either_side_and_never_no_difference(pairs, metric, paired):
    a, b = np.array(pairs, float).T / 10_000
    there, back = compare(metric, a, b, paired=paired), compare(metric, b, a, paired=paired)
    found, turned = verdict(there, "Keras", "PyTorch", metric), verdict(back, "PyTorch", "Keras", metric)
    assert found.kind == turned.kind
    if there.difference not in (0, 1):
        assert found.sentence == turned.sentence
    assert "no difference" not in found.sentence.lower()
    assert "nan" not in found.sentence
    assert "None" not in found.sentence
    assert (found.kind == "descriptive") == (len(pairs) < 5)
    if found.kind == "inconclusive":
        needed = runs_needed(there)
        assert (needed.difference or math.inf) >= 1
        assert (needed.equivalence or math.inf) >= 1
        assert {needed.difference, needed.equivalence} != {None}
