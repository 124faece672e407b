import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.core.study import Plan
from runners.report.metrics import COMPARED, TIME_TO_ACCURACY
from runners.report.sections.comparison.verdict import compare, verdict
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


# What test_snapshots.py has the words of: a comparison, its metric, and what else the verdict goes by.
CASES = {
    "better": (points(0.82, 0.21), ACCURACY, {}),
    "better, of the reference": (points(-0.82, 0.21), ACCURACY, {}),
    "better in time": (ratio(1.22, (1.18, 1.26)), TRAINING, {}),
    "equivalent": (points(0.1, 0.45, half90=0.3), ACCURACY, {}),
    "equivalent and detectable": (points(-0.1, 0.05, half90=0.04), ACCURACY, {}),
    "equal": (points(0.0, 0.2), ACCURACY, {}),
    "different, to be shown beyond the margin": (points(0.6, 0.301), ACCURACY, {}),
    "different, to be shown within the margin": (points(-0.4, 0.301, half90=0.299), ACCURACY, {}),
    "different, at the margin": (points(0.5, 0.3), ACCURACY, {}),
    "different, of a loss": (ratio(1.06, (1.03, 1.09)), LOSS, {}),
    "inconclusive": (points(0.2, 0.6, half90=0.5), ACCURACY, {}),
    "inconclusive, unpaired": (replace(points(0.2, 0.6, half90=0.5), paired=False), ACCURACY, {}),
    "not settled after the correction": (ratio(1.06, (1.03, 1.09), p=0.2), TRAINING, {"tested": 3}),
    "descriptive, few seeds": (points(-3.0, 0.1, n=4), ACCURACY, {}),
    "descriptive, one seed": (paired_comparison([0.9], [0.9], 0.005), ACCURACY, {}),
    "descriptive, no seed": (paired_comparison([], [], 0.005), ACCURACY, {}),
    "descriptive, one draw": (points(0.82, 0.21), ACCURACY, {"one_draw": True}),
    "descriptive, unreached": (ratio(1.22, (1.18, 1.26)), TIME_TO_ACCURACY, {"unreached": (1, 0)}),
    "descriptive, reached by none": (ratio_comparison([], [], 1.05, True), TIME_TO_ACCURACY, {"unreached": (5, 5)}),
}


def test_the_metrics_and_their_margins():
    plan = Plan(contenders=("keras",), tracks=("matched",), seeds=(0,))
    assert [(m.name, m.margin(plan), m.ratio, m.higher_is_better, m.primary) for m in COMPARED] == [
        ("test_accuracy", 0.005, False, True, True),
        ("test_loss", 1.05, True, False, False),
        ("train_seconds", 1.05, True, False, False),
        ("total_seconds", 1.05, True, False, False),
    ]


def test_below_five_seeds_there_is_no_verdict():
    assert told(points(-3.0, 0.1, n=4))[0] == "descriptive"
    assert told(points(-3.0, 0.1, n=5))[0] == "better"


@pytest.mark.parametrize("compare_unpaired", [paired_comparison, welch_comparison])
def test_no_seed_or_one_is_described_too(compare_unpaired):
    kind, _, difference = told(compare_unpaired([], [], 0.005))
    assert (kind, difference) == ("descriptive", "")
    assert told(compare_unpaired([0.9], [0.9], 0.005))[0] == "descriptive"


def test_the_smaller_side_counts_its_seeds():
    assert told(welch_comparison([0.9, 0.91, 0.92, 0.93], [0.5] * 9, 0.005))[0] == "descriptive"


@pytest.mark.parametrize(
    ("comparison", "metric", "better"),
    [
        (points(0.82, 0.21), ACCURACY, "PyTorch"),
        (points(-0.82, 0.21), ACCURACY, "Keras"),
        (points(0.82, 0.21), ERROR, "Keras"),
        (ratio(1.22, (1.18, 1.26)), TRAINING, "Keras"),
        (ratio(1 / 1.22, (1 / 1.26, 1 / 1.18)), TRAINING, "PyTorch"),
        (ratio(1 / 1.22, (1 / 1.26, 1 / 1.18)), TOTAL, "PyTorch"),
        (ratio(1.22, (1.18, 1.26)), LOSS, "Keras"),
        (ratio(1.22, (1.18, 1.26)), SPEED, "PyTorch"),
    ],
)
def test_better_is_the_higher_accuracy_or_speed_and_the_lower_error_loss_or_time(comparison, metric, better):
    kind, short, _ = told(comparison, metric)
    assert (kind, f": {better} is better" in short) == ("better", True)


@pytest.mark.parametrize(
    ("comparison", "metric", "words"),
    [  # 1 / 1.22 is 0.820
        (
            points(-0.82, 0.21),
            ACCURACY,
            "PyTorch is 0.82 points lower than Keras on average (95 % interval [-1.03, -0.61]",
        ),
        (
            ratio(1.22, (1.18, 1.26)),
            TRAINING,
            "PyTorch takes 22.0 % longer than Keras on average (95 % interval [+18.0, +",
        ),
        (
            ratio(1 / 1.22, (1 / 1.26, 1 / 1.18)),
            TRAINING,
            "18.0 % less time than Keras on average (95 % interval [-20.6, ",
        ),
        (points(0.0, 0.2), ACCURACY, "Keras and PyTorch are equal on average (90 % interval [-0.16, +0.16] points"),
    ],
)
def test_the_number_is_that_of_the_other_against_the_reference_with_the_interval_that_decides(
    comparison, metric, words
):
    assert words in told(comparison, metric)[2]


def test_equivalence_goes_by_the_90_percent_interval_and_detectable_by_the_95_percent_one():
    kind, _, difference = told(points(0.1, 0.45, half90=0.3))
    assert (kind, "detectable" in difference) == ("equivalent", False)
    kind, _, difference = told(points(-0.1, 0.05, half90=0.04))
    assert (kind, "detectable" in difference) == ("equivalent", True)
    assert "detectable" not in told(points(0.2, 0.21, half90=0.19))[2]
    assert told(ratio(1.01, (0.98, 1.041), (0.985, 1.036)), TRAINING)[0] == "equivalent"


BEYOND, BY_SOME, WITHIN = ratio(1.22, (1.18, 1.26)), ratio(1.06, (1.03, 1.09)), ratio(1.02, (1.01, 1.03))


@pytest.mark.parametrize("p", [0.05, 0.2, None])
def test_a_secondary_metric_differs_only_if_its_corrected_p_says_so_too(p):
    for found, kind in ((BEYOND, "better"), (BY_SOME, "different"), (WITHIN, "equivalent")):
        assert told(replace(found, p_difference=0.0499), TRAINING, tested=3)[0] == kind
    for found in (BEYOND, BY_SOME):
        kind, short, _ = told(replace(found, p_difference=p), TRAINING, tested=3)
        assert (kind, "may differ" in short, "for 3 metrics" in short) == ("inconclusive", True, True)
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
    assert verdict(comparison, "Keras", "PyTorch", ACCURACY, one_draw=True).kind == "descriptive"


def test_runs_that_never_reached_the_target_leave_no_verdict():
    slow, nothing = ratio(1.22, (1.18, 1.26)), ratio_comparison([], [], 1.05, paired=True)
    kind, short, difference = told(slow, TIME_TO_ACCURACY, unreached=(1, 0))
    assert (kind, difference.startswith("Of those that did: ")) == ("descriptive", True)
    assert "1 run of Keras and 0 runs of PyTorch" in short
    assert told(nothing, TIME_TO_ACCURACY, unreached=(1, 0))[2] == ""
    assert told(slow, TIME_TO_ACCURACY)[0] == told(slow, TIME_TO_ACCURACY, unreached=(0, 0))[0] == "better"


def test_inconclusive_prints_both_numbers_of_runs_or_that_none_would_do():
    # 10 (0.905/0.01)^2 = 81902.5, less 10; 10 (0.6/0.5)^2 = 14.4; 10 (0.77/0.75)^2 = 10.5
    for found, words in (
        (points(0.01, 0.905), "At least 81,893 more seeds to show a difference."),
        (
            points(0.0, 0.7, half90=0.6),
            "no number of seeds would show a difference. At least 5 more seeds to show equiv",
        ),
        (
            points(0.75, 0.77),
            "At least 1 more seed to show a difference. As the means are, no number of seeds would show",
        ),
    ):
        judged = verdict(found, "Keras", "PyTorch", ACCURACY)
        assert (judged.kind, words in judged.would_change) == ("inconclusive", True)


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
