import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.core.study import Plan
from runners.report.metrics import COMPARED, TIME_TO_ACCURACY
from runners.report.sections.comparison.verdict import Verdict, compare, verdict
from runners.report.statistics.differences import (
    Comparison,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)

ACCURACY, LOSS, TRAINING, TOTAL = COMPARED
MARGINS = {False: 0.005, True: 1.05}  # the plan's defaults, of differences and of ratios
ERROR = replace(ACCURACY, name="test_error", label="Test error", higher_is_better=False)
SPEED = replace(LOSS, name="speed", label="Speed", higher_is_better=True)


def points(difference, half95, half90=None, n=10, margin=0.5):
    """A comparison of accuracies, all given in percentage points."""
    m, h95, h90 = (x / 100 for x in (difference, half95, half95 * 0.8 if half90 is None else half90))
    return Comparison(n, n, n, m, (m - h95, m + h95), (m - h90, m + h90), None, None, margin / 100, True)


def ratio(difference, ci95, ci90=None, n=10, p=0.001):
    return Comparison(n, n, n, difference, ci95, ci90 or ci95, p, None, 1.05, True, ratio=True)


def told(comparison, metric=ACCURACY, **given):
    """The verdict on PyTorch, compared with its reference Keras."""
    found = verdict(comparison, "Keras", "PyTorch", metric, **given)
    return found.kind, found.short, found.difference


def test_the_metrics_and_their_margins():
    plan = Plan(contenders=("keras",), tracks=("matched",), seeds=(0,))
    assert [(m.name, m.margin(plan), m.ratio, m.higher_is_better, m.primary) for m in COMPARED] == [
        ("test_accuracy", 0.005, False, True, True),
        ("test_loss", 1.05, True, False, False),
        ("train_seconds", 1.05, True, False, False),
        ("total_seconds", 1.05, True, False, False),
    ]


def test_below_five_seeds_there_is_no_verdict():
    assert told(points(-3.0, 0.1, n=4)) == (
        "descriptive",
        "Test accuracy: descriptive only, no verdict with 4 seeds (5 are needed).",
        "Over 4 pairs of runs, PyTorch is 3.00 points lower than Keras on average.",
    )
    assert told(points(-3.0, 0.1, n=5))[0] == "better"


@pytest.mark.parametrize("compare_unpaired", [paired_comparison, welch_comparison])
def test_no_seed_or_one_is_described_too(compare_unpaired):
    assert told(compare_unpaired([], [], 0.005)) == (
        "descriptive",
        "Test accuracy: descriptive only, no verdict with 0 seeds (5 are needed).",
        "",
    )
    kind, short, difference = told(compare_unpaired([0.9], [0.9], 0.005))
    assert (kind, short) == ("descriptive", "Test accuracy: descriptive only, no verdict with 1 seed (5 are needed).")
    runs = {paired_comparison: "1 pair of runs", welch_comparison: "at least 1 run each"}[compare_unpaired]
    assert difference == f"Over {runs}, Keras and PyTorch are equal on average."


def test_the_smaller_side_counts_its_seeds():
    assert told(welch_comparison([0.9, 0.91, 0.92, 0.93], [0.5] * 9, 0.005))[0] == "descriptive"


def test_better_in_accuracy():
    short = "Test accuracy: {} is better, beyond the margin."
    more = "PyTorch is 0.82 points higher than Keras on average (95 % interval [+0.61, +1.03] points, margin"
    less = "PyTorch is 0.82 points lower than Keras on average (95 % interval [-1.03, -0.61] points, margin"
    for found, better, words in ((points(0.82, 0.21), "PyTorch", more), (points(-0.82, 0.21), "Keras", less)):
        assert told(found) == ("better", short.format(better), f"Over 10 pairs of runs, {words} [-0.5, +0.5] points).")


def test_better_in_time_is_the_faster_one_and_the_ratio_is_always_over_the_reference():
    short = "Training time: {} is better, beyond the margin."
    slower, faster = ratio(1.22, (1.18, 1.26)), ratio(1 / 1.22, (1 / 1.26, 1 / 1.18))
    more = "PyTorch takes 22.0 % longer than Keras on average (95 % interval [+18.0, +26.0] %, margin [-4.762, +5] %)."
    # 1 / 1.22 is 0.820
    less = (
        "PyTorch takes 18.0 % less time than Keras on average (95 % interval [-20.6, -15.3] %, margin [-4.762, +5] %)."
    )
    assert told(slower, TRAINING) == ("better", short.format("Keras"), f"Over 10 pairs of runs, {more}")
    assert told(faster, TRAINING) == ("better", short.format("PyTorch"), f"Over 10 pairs of runs, {less}")
    assert told(faster, TOTAL)[1] == "Total time: PyTorch is better, beyond the margin."


def test_better_where_a_speed_or_an_error_is_compared():
    assert told(ratio(1.22, (1.18, 1.26)), SPEED)[1] == "Speed: PyTorch is better, beyond the margin."
    assert told(points(0.82, 0.21), ERROR)[1] == "Test error: Keras is better, beyond the margin."


def test_equivalent_in_accuracy():
    kind, short, difference = told(points(0.1, 0.45, half90=0.3))
    assert kind == "equivalent"  # the 95 % interval reaches beyond the margin, which does not matter
    assert short == "Test accuracy: the same for practical purposes, equivalent within the margin."
    assert difference.endswith(
        "PyTorch is 0.10 points higher than Keras on average (90 % interval [-0.20, +0.40] points, "
        "margin [-0.5, +0.5] points)."
    )
    kind, _, difference = told(points(-0.1, 0.05, half90=0.04))
    assert kind == "equivalent"
    assert difference.endswith(
        "PyTorch is 0.10 points lower than Keras on average (90 % interval [-0.14, -0.06] points, "
        "margin [-0.5, +0.5] points). The difference is detectable, but smaller than the margin."
    )
    assert "detectable" not in told(points(0.2, 0.21, half90=0.19))[2]  # by the 95 % interval, not the 90 % one
    assert "Keras and PyTorch are equal on average (90 % interval [-0.16, +0.16] points" in told(points(0.0, 0.2))[2]


def test_equivalent_in_time():
    kind, _, difference = told(ratio(1.01, (0.98, 1.041), (0.985, 1.036)), TRAINING)
    assert kind == "equivalent"
    assert "PyTorch takes 1.0 % longer than Keras on average (90 % interval [-1.5, +3.6] %" in difference


def test_different():
    kind, short, difference = told(points(0.6, 0.3))
    assert (kind, short) == ("different", "Test accuracy: different; its size against the margin is unresolved.")
    assert "PyTorch is 0.60 points higher than Keras on average (95 % interval [+0.30, +0.90] points" in difference
    kind, short, difference = told(ratio(1.06, (1.03, 1.09)), TRAINING)
    assert (kind, short) == ("different", "Training time: different; its size against the margin is unresolved.")
    assert "PyTorch takes 6.0 % longer than Keras on average (95 % interval [+3.0, +9.0] %" in difference


def test_a_loss_is_told_in_per_cent_of_the_reference_s():
    _, short, difference = told(ratio(1.22, (1.18, 1.26)), LOSS)
    assert short == "Test loss: Keras is better, beyond the margin."
    assert "PyTorch is 22.0 % higher than Keras on average (95 % interval [+18.0, +26.0] %" in difference


def test_unpaired_runs_are_not_told_as_pairs():
    assert told(replace(points(0.6, 0.3), paired=False))[2].startswith("Over at least 10 runs each, PyTorch is 0.60")


BEYOND, BY_SOME, WITHIN = ratio(1.22, (1.18, 1.26)), ratio(1.06, (1.03, 1.09)), ratio(1.02, (1.01, 1.03))


@pytest.mark.parametrize("p", [0.05, 0.2, None])
def test_a_secondary_metric_differs_only_if_its_corrected_p_says_so_too(p):
    for found, kind in ((BEYOND, "better"), (BY_SOME, "different"), (WITHIN, "equivalent")):
        assert told(replace(found, p_difference=0.0499), TRAINING, tested=3)[0] == kind
    for found in (BEYOND, BY_SOME):
        kind, short, difference = told(replace(found, p_difference=p), TRAINING, tested=3)
        assert (kind, short) == (
            "inconclusive",
            "Training time may differ: not settled after correcting for 3 metrics.",
        )
        assert " % longer than Keras on average (95 % interval [+" in difference
    kind, _, difference = told(replace(WITHIN, p_difference=p), TRAINING, tested=3)
    assert (kind, "detectable" in difference) == ("equivalent", False)
    assert "detectable" in told(WITHIN, TRAINING, tested=3)[2]


def test_the_primary_metric_goes_by_its_interval_alone():
    for found, kind in ((points(0.82, 0.21), "better"), (points(0.6, 0.3), "different")):
        assert told(replace(found, p_difference=0.9), tested=3)[0] == kind


def test_what_is_not_settled_after_the_correction_says_how_many_seeds_would_settle_it():
    shape = np.array([-1.0, 1.0, -0.5, 0.5, 0.0])
    logs = 0.03 + shape / shape.std(ddof=1) * 0.03 / 3.2 * math.sqrt(5)  # t = 3.2: p = 0.033, of three tests 0.099
    found = ratio_comparison(np.exp(logs), np.ones(5), 1.05, paired=True)
    judged = verdict(replace(found, p_difference=3 * found.p_difference), "Keras", "PyTorch", LOSS, tested=3)
    # 5 (3.961 / 3.2)^2 = 7.7 runs, where 3.961 is t at 1 - 0.05/6; for equivalence 5 (2.132 s / (0.0488 - 0.03))^2
    assert (
        judged.would_change == "At least 3 more seeds to show a difference. At least 1 more seed to show equivalence."
    )
    alone = verdict(replace(found, p_difference=None), "Keras", "PyTorch", LOSS)
    assert alone.would_change.startswith("At least 0 more seeds to show a difference.")


@pytest.mark.parametrize(
    ("comparison", "change"),
    [
        (points(3.0, 0.1, n=3), "At least 2 more seeds for a verdict."),
        (points(3.0, 0.1, n=4), "At least 1 more seed for a verdict."),
        (points(-0.82, 0.21), "This holds for any margin below 0.61 points."),
        (points(0.1, 0.45, half90=0.3), "This holds for any margin above 0.40 points."),
        # 10 (0.3/0.1)^2 = 90, less 10; 10 (0.3/0.1)^2, less 10, for the 90 % interval
        (points(0.6, 0.301), "At least 81 more seeds to show that the difference is beyond the margin."),
        (points(-0.4, 0.301, half90=0.299), "At least 80 more seeds to show that the difference is within the margin."),
        (points(0.5, 0.3), "The difference lies at the margin itself, where no number of seeds settles its size."),
        # 10 (0.6/0.2)^2 = 90, less 10; 10 (0.5/0.3)^2 = 27.8, less 10
        (
            points(0.2, 0.6, half90=0.5),
            "At least 80 more seeds to show a difference. At least 18 more seeds to show equivalence.",
        ),
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
        (points(0.8263, 0.21), ACCURACY, "any margin below 0.61 points."),
        (points(0.1042, 0.45, half90=0.3), ACCURACY, "any margin above 0.41 points."),
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
        f"Test accuracy: descriptive only, no verdict where all runs repeat one draw ({comparison.n} runs each).",
        f"Over {comparison.n} pairs of runs, PyTorch is {100 * comparison.difference:.2f} points higher than Keras on "
        "average.",
        "Runs of several draws would give one: --vary all, and another --out.",
    )
    nothing = verdict(paired_comparison([], [], 0.005), "Keras", "PyTorch", ACCURACY, one_draw=True)
    assert nothing.short.endswith("no verdict where all runs repeat one draw (0 runs each).")
    assert nothing.difference == ""


def test_runs_that_never_reached_the_target_leave_no_verdict():
    lower = "A target that every run reaches would give one: a lower --target-accuracy, or more --epochs."
    slow, nothing = ratio(1.22, (1.18, 1.26)), ratio_comparison([], [], 1.05, paired=True)
    short = (
        "Time to accuracy: descriptive only, no verdict where runs never reached it: 1 run of Keras and 0 runs of "
        "PyTorch."
    )
    among = "Of those that did: Over 10 pairs of runs, PyTorch takes 22.0 % longer than Keras on average."
    missed = {"unreached": (1, 0)}
    assert verdict(slow, "Keras", "PyTorch", TIME_TO_ACCURACY, **missed) == Verdict("descriptive", short, among, lower)
    assert told(nothing, TIME_TO_ACCURACY, **missed) == ("descriptive", short, "")
    assert told(slow, TIME_TO_ACCURACY)[0] == told(slow, TIME_TO_ACCURACY, unreached=(0, 0))[0] == "better"


def test_inconclusive_prints_both_numbers_of_runs():
    kind, short, difference = told(points(0.2, 0.6, half90=0.5))
    assert (kind, short) == ("inconclusive", "Test accuracy: inconclusive, not settled by these runs.")
    assert "PyTorch is 0.20 points higher than Keras on average (95 % interval [-0.40, +0.80] points" in difference
    # 10 (0.905/0.01)^2 = 81902.5
    change = verdict(points(0.01, 0.905), "Keras", "PyTorch", ACCURACY).would_change
    assert change.startswith("At least 81,893 more seeds to show a difference.")


def test_inconclusive_where_no_number_of_runs_would_do():
    level = verdict(points(0.0, 0.7, half90=0.6), "Keras", "PyTorch", ACCURACY)  # 10 (0.6/0.5)^2 = 14.4
    assert level.would_change == (
        "As the means are, no number of seeds would show a difference. At least 5 more seeds to show equivalence."
    )
    assert "Keras and PyTorch are equal on average (95 % interval [-0.70, +0.70] points" in level.difference
    beyond = verdict(points(0.75, 0.77), "Keras", "PyTorch", ACCURACY)  # 10 (0.77/0.75)^2 = 10.5
    assert beyond.would_change == (
        "At least 1 more seed to show a difference. As the means are, no number of seeds would show equivalence."
    )
    assert (level.kind, beyond.kind) == ("inconclusive", "inconclusive")


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
    comparison = Comparison(5, 5, 5, middle, ci95, ci90, None, None, 0.5, False)
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


def test_no_sentence_shows_a_sign_of_what_is_zero():
    assert "[0.00, +0.20]" in told(points(0.1, 0.103, half90=0.103))[2]
    assert "[0.0, +2.0]" in told(ratio(1.01, (0.9999, 1.02)), TRAINING)[2]


def test_a_metric_and_its_comparison_must_agree():
    with pytest.raises(ValueError, match="both be ratios or neither"):
        told(points(1, 1), TRAINING)
    with pytest.raises(ValueError, match="both be ratios or neither"):
        told(ratio(1.1, (1.0, 1.2)), ACCURACY)


@pytest.mark.parametrize("paired", [True, False])
def test_compare_takes_the_metric_s_comparison_and_margin(paired):
    a, b = [0.91, 0.9, 0.92, 0.9, 0.93], [0.9, 0.91, 0.9, 0.9, 0.9]
    plain = paired_comparison if paired else welch_comparison
    assert compare(ACCURACY, 0.005, a, b, paired=paired) == plain(a, b, 0.005)
    assert compare(TRAINING, 1.05, a, b, paired=paired) == ratio_comparison(a, b, 1.05, paired)


@given(
    st.lists(st.tuples(st.integers(8800, 9200), st.integers(8800, 9200)), min_size=1, max_size=12),
    st.sampled_from([ACCURACY, TRAINING]),
    st.booleans(),
)
def test_any_runs_get_the_same_verdict_from_either_side_and_never_no_difference(pairs, metric, paired):
    a, b = np.array(pairs, float).T / 10_000
    there, back = (compare(metric, MARGINS[metric.ratio], *sides, paired=paired) for sides in ((b, a), (a, b)))
    found, turned = verdict(there, "Keras", "PyTorch", metric), verdict(back, "PyTorch", "Keras", metric)
    assert (found.kind, found.short, found.would_change) == (turned.kind, turned.short, turned.would_change)
    sentences = " ".join((found.short, found.difference, found.would_change))
    assert "no difference" not in sentences.lower()
    assert "nan" not in sentences
    assert "None" not in sentences
    assert (found.kind == "descriptive") == (len(pairs) < 5)
    if found.kind == "inconclusive":
        needed = runs_needed(there)
        assert (needed.difference or math.inf) >= 1
        assert (needed.equivalence or math.inf) >= 1
        assert {needed.difference, needed.equivalence} != {None}
