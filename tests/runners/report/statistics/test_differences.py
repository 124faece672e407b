import math
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from runners.report.statistics.differences import (
    Comparison,
    DifferenceChange,
    difference_change,
    holm,
    paired_comparison,
    ratio_comparison,
    runs_needed,
    welch_comparison,
)
from tests.runners.report.statistics.samples import NUMBERS, SLEEP_1, SLEEP_2

PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8)
BOTH = pytest.mark.parametrize("compare", [paired_comparison, welch_comparison])


def tost_by_hand(difference, standard_error, df, margin):
    """The larger of two one-sided p values."""
    above_low = t.sf((difference + margin) / standard_error, df)
    below_high = t.cdf((difference - margin) / standard_error, df)
    return max(above_low, below_high)


def test_paired_comparison_is_r_s_paired_t_test():
    found = paired_comparison(SLEEP_1, SLEEP_2, margin=1.0)
    assert found.difference == pytest.approx(-1.58)
    assert found.ci95 == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)
    assert found.p_difference == pytest.approx(0.002833, abs=5e-7)
    assert (found.n, found.n_a, found.n_b, found.paired, found.margin, found.ratio) == (10, 10, 10, True, 1.0, False)


def test_welch_comparison_is_r_s_welch_t_test():
    found = welch_comparison(SLEEP_1, SLEEP_2, margin=1.0)
    assert found.difference == pytest.approx(-1.58)
    assert found.ci95 == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)
    assert found.p_difference == pytest.approx(0.07939, abs=5e-6)
    assert not found.paired


@pytest.mark.parametrize(
    ("compare", "t_value", "freedom", "margin"),
    [
        *((paired_comparison, 4.062128, 9, margin) for margin in (0.5, 1.58, 2.5)),
        *((welch_comparison, 1.860813, 17.776474, margin) for margin in (0.5, 1.58, 4.0)),
    ],
)
def test_equivalence_is_two_one_sided_tests(compare, t_value, freedom, margin):
    found = compare(SLEEP_1, SLEEP_2, margin)
    standard_error = 1.58 / t_value
    assert found.p_equivalence == pytest.approx(tost_by_hand(-1.58, standard_error, freedom, margin), rel=1e-4)
    half = t.ppf(0.95, freedom) * standard_error
    assert found.ci90 == pytest.approx((-1.58 - half, -1.58 + half), rel=1e-5)


# A clinical trial's first two measures, 15 patients a group (data `clinical` of R's package `equivalence`), with what
# its function tost prints, as statsmodels' own tests keep it: p value and 90 % interval.
FIRST_1 = [2.84, 2.51, 2.41, 2.95, 3.14, 3.79, 4.14, 3.85, 3.02, 3.45, 5.37, 3.81, 4.19, 3.16, 3.84]
FIRST_2 = [2.60, 2.82, 2.18, 3.46, 4.01, 3.04, 3.47, 4.06, 2.91, 3.59, 4.51, 3.16, 3.86, 3.31, 3.02]
SECOND_1 = [4.00, 3.26, 4.14, 3.42, 3.25, 4.34, 4.97, 4.31, 3.11, 3.41, 5.02, 4.21, 4.59, 5.30, 4.32]
SECOND_2 = [3.76, 3.66, 3.65, 3.60, 3.48, 2.87, 3.24, 3.92, 3.99, 4.21, 4.21, 3.31, 3.61, 2.97, 2.73]


@pytest.mark.parametrize(
    ("compare", "a", "b", "p", "ci90"),
    [
        (paired_comparison, FIRST_1, FIRST_2, 0.003166881489265175, (-0.0744336620516462, 0.4037669953849797)),
        (paired_comparison, SECOND_1, SECOND_2, 0.4412034046017588, (0.1261653305099018, 0.999168002823431)),
        (welch_comparison, FIRST_1, FIRST_2, 0.04853083976236974, (-0.2666862980722534, 0.596019631405587)),
        (welch_comparison, SECOND_1, SECOND_2, 0.4317936812594803, (0.194916250699966, 0.930417082633366)),
    ],
)
def test_equivalence_is_r_s_tost(compare, a, b, p, ci90):
    found = compare(a, b, margin=0.6)
    assert found.p_equivalence == pytest.approx(p, rel=1e-9)
    assert found.ci90 == pytest.approx(ci90, rel=1e-9)


@pytest.mark.parametrize(
    ("paired", "p", "ci90"),
    [
        (True, 0.0001664157928976468, (-0.02415225319362176, 0.1103969168386687)),
        (False, 0.01047085593138891, (-0.0819851930203655, 0.1682298566654122)),
    ],
)
def test_equivalence_of_a_ratio_is_r_s_tost_of_the_logs(paired, p, ci90):
    found = ratio_comparison(FIRST_1, FIRST_2, 1.25, paired)
    assert found.p_equivalence == pytest.approx(p, rel=1e-9)
    assert found.ci90 == pytest.approx(tuple(map(math.exp, ci90)), rel=1e-9)


@BOTH
@given(pairs=PAIRS)
@settings(deadline=None, max_examples=50)
def test_swapping_the_sides_flips_the_sign(compare, pairs):
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    there, back = compare(a, b, 1.0), compare(b, a, 1.0)
    if not pairs:
        assert there == back
        return
    assert back.difference == pytest.approx(-there.difference, abs=1e-12)
    assert (there.ci95 is None) == (len(pairs) < 2)
    if there.ci95:
        assert back.ci95 == pytest.approx((-there.ci95[1], -there.ci95[0]), abs=1e-9)
        assert back.ci90 == pytest.approx((-there.ci90[1], -there.ci90[0]), abs=1e-9)
        assert back.p_difference == pytest.approx(there.p_difference, abs=1e-9)
        assert back.p_equivalence == pytest.approx(there.p_equivalence, abs=1e-9)
        assert there.ci95[0] <= there.ci90[0] <= there.difference + 1e-12
        assert not any(isinstance(x, float) and math.isnan(x) for x in astuple(there))


@BOTH
def test_without_enough_runs_there_is_no_interval(compare):
    nothing = (None,) * 4
    assert astuple(compare([], [], 1.0))[:8] == (0, 0, 0, None, *nothing)
    assert astuple(compare([3.0], [1.0], 1.0))[:8] == (1, 1, 1, 2.0, *nothing)
    assert runs_needed(compare([3.0], [1.0], 1.0)) == runs_needed(compare([], [], 1.0))


def test_one_side_may_be_too_short_for_welch():
    assert astuple(welch_comparison([1.0, 2.0], [], 1.0))[:5] == (0, 2, 0, None, None)
    assert astuple(welch_comparison([1.0, 2.0], [1.0], 1.0))[:5] == (1, 2, 1, 0.5, None)


def test_two_pairs_are_compared_with_one_degree_of_freedom():
    found = paired_comparison([1.0, 4.0], [0.0, 1.0], margin=1.0)
    assert found.ci95 == pytest.approx((2 - 12.7062047, 2 + 12.7062047))  # SD is the root of 2, standard error 1
    assert found.p_difference == pytest.approx(2 * (0.5 - math.atan(2) / math.pi))  # Cauchy


@BOTH
@pytest.mark.parametrize(
    ("a", "b", "difference", "p_difference", "p_equivalence"),
    [
        ([2.0] * 4, [2.0] * 4, 0.0, 1.0, 0.0),
        ([0.1 + 0.2] * 3, [0.3] * 3, 0.0, 1.0, 0.0),
        ([2.5] * 3, [2.0] * 3, 0.5, 0.0, 0.0),
        ([3.0] * 3, [2.0] * 3, 1.0, 0.0, 1.0),
        ([2.0] * 3, [5.0] * 3, -3.0, 0.0, 1.0),
    ],
)
def test_constants_leave_no_doubt(compare, a, b, difference, p_difference, p_equivalence):
    found = compare(a, b, 1.0)
    point = (difference, difference)
    assert (found.difference, found.ci95, found.ci90) == (difference, point, point)
    assert (found.p_difference, found.p_equivalence) == (p_difference, p_equivalence)


@BOTH
def test_a_difference_that_is_only_rounding_is_none(compare):
    a, b = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert np.mean(a) != np.mean(b)
    found = compare(a, b, 1.0)
    assert found.difference == 0.0
    assert found.p_difference == pytest.approx(1.0)
    assert runs_needed(found).difference is None


def test_pairs_that_differ_by_a_constant_up_to_rounding_leave_no_doubt():
    b = np.linspace(0.1, 0.9, 7)
    found = paired_comparison(b + 0.01, b, 0.005)
    assert np.ptp(b + 0.01 - b) > 0
    assert found.ci95 == pytest.approx((0.01, 0.01), abs=1e-15)
    assert (found.p_difference, found.p_equivalence) == (0.0, 1.0)


def test_welch_takes_one_side_without_spread():
    constant = welch_comparison([0.9] * 4, [1.0, 2.0, 3.0], margin=1.0)
    rounded = welch_comparison([0.9, 0.9, 0.9 + 1e-16, 0.9], [1.0, 2.0, 3.0], margin=1.0)
    half = t.ppf(0.975, 2) / math.sqrt(3)
    assert constant.ci95 == pytest.approx((-1.1 - half, -1.1 + half))
    assert rounded.ci95 == pytest.approx(constant.ci95)
    assert welch_comparison([1.0, 2.0, 3.0], [0.9] * 4, 1.0).ci95 == pytest.approx((1.1 - half, 1.1 + half))


def compare_ratios(a, b, margin):
    return ratio_comparison(a, b, margin, paired=True)


@pytest.mark.parametrize("compare", [paired_comparison, welch_comparison, compare_ratios])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(compare, bad):
    with pytest.raises(ValueError, match="finite"):
        compare([1.0, bad], [1.0, 2.0], 1.5)
    with pytest.raises(ValueError, match="finite"):
        compare([1.0, 2.0], [bad, 2.0], 1.5)


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="pairs, not 2 and 3"):
        paired_comparison([1, 2], [1, 2, 3], 1.0)
    with pytest.raises(ValueError, match="pairs, not 2 and 3"):
        ratio_comparison([1, 2], [1, 2, 3], 1.05, paired=True)
    with pytest.raises(ValueError, match="shape"):
        paired_comparison([[1, 2]], [[1, 2]], 1.0)


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_is_positive_and_of_a_ratio_above_one(margin):
    for compare in (paired_comparison, welch_comparison):
        with pytest.raises(ValueError, match="must be positive"):
            compare([1, 2], [1, 3], margin)
    with pytest.raises(ValueError, match="must be above 1"):
        ratio_comparison([1, 2], [1, 3], 1 + min(margin, 0), paired=False)


@pytest.mark.parametrize("paired", [True, False])
def test_a_ratio_is_the_comparison_of_the_logs(paired):
    a, b = np.exp(SLEEP_1), np.exp(SLEEP_2)
    found = ratio_comparison(a, b, margin=math.e, paired=paired)
    logs = (paired_comparison if paired else welch_comparison)(SLEEP_1, SLEEP_2, margin=1.0)
    assert (found.ratio, found.margin, found.paired) == (True, math.e, paired)
    assert found.difference == pytest.approx(math.exp(-1.58))
    assert found.ci95 == pytest.approx(tuple(map(math.exp, logs.ci95)))
    assert found.ci90 == pytest.approx(tuple(map(math.exp, logs.ci90)))
    assert (found.p_difference, found.p_equivalence) == pytest.approx((logs.p_difference, logs.p_equivalence))
    again = found.additive()
    assert (again.difference, *again.ci95, again.margin) == pytest.approx((logs.difference, *logs.ci95, 1.0))
    assert not again.ratio


def test_ratios_of_constants_few_and_wild_runs():
    assert ratio_comparison([110.0] * 3, [100.0] * 3, 1.05, paired=False).ci95 == pytest.approx((1.1, 1.1))
    nothing = ratio_comparison([], [], 3.0, paired=True)
    assert (nothing.difference, nothing.margin) == (None, 3.0)  # the margin as it was given: exp(log(3)) is not 3
    assert ratio_comparison([3.0], [2.0], 1.05, paired=True).difference == pytest.approx(1.5)
    wild = ratio_comparison([1e-300, 1.0], [1.0, 1e300], 1.05, paired=False)
    assert wild.ci95 == (0.0, math.inf)
    assert wild.additive().ci95 == (-math.inf, math.inf)
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match="positive values"):
            ratio_comparison([1.0, 2.0], [1.0, bad], 1.05, paired=True)


def test_holm_multiplies_by_how_many_are_left_and_never_falls():
    # by hand: 5 x 0.01, 4 x 0.02, 3 x 0.03, then 2 x 0.04 and 1 x 0.05 are raised to what came before
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.05, 0.04, 0.03, 0.02, 0.01]) == pytest.approx([0.09, 0.09, 0.09, 0.08, 0.05])


def test_holm_passes_over_what_is_missing():
    assert holm([]) == []
    assert holm([None]) == [None]
    adjusted = holm([0.04, None, math.nan, 0.01])
    assert (adjusted[0], adjusted[1], adjusted[3]) == pytest.approx((0.04, None, 0.02))
    assert math.isnan(adjusted[2])
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, bad])


def test_runs_needed_is_the_formula():
    rng = np.random.default_rng(0)
    d = rng.normal(size=6)
    d = (d - d.mean()) / d.std(ddof=1) * 0.004 + 0.002  # m = 0.002, s = 0.004
    found = runs_needed(paired_comparison(0.9 + d, np.full(6, 0.9), margin=0.005))
    assert found.difference == math.ceil((2.570582 * 0.004 / 0.002) ** 2) - 6 == 21
    assert found.equivalence == math.ceil((2.015048 * 0.004 / 0.003) ** 2) - 6 == 2
    ratios = runs_needed(ratio_comparison(np.exp(0.9 + d), np.full(6, np.exp(0.9)), math.exp(0.005), paired=True))
    assert ratios == found


@pytest.mark.parametrize("tests", [1, 3, 4])
def test_a_difference_that_is_one_of_several_tests_takes_more_runs_to_show(tests):
    paired = paired_comparison(SLEEP_1, SLEEP_2, margin=3.0)  # R's t are 4.062128 and 1.860813
    welch = welch_comparison(SLEEP_1, SLEEP_2, margin=3.0)
    assert (paired.df, welch.df) == (9, pytest.approx(17.776474, abs=1e-6))
    for found, statistic, df in ((paired, 4.062128, 9), (welch, 1.860813, 17.776474)):
        needed = runs_needed(found, tests)
        total = 10 * (t.ppf(1 - 0.025 / tests, df) / statistic) ** 2
        assert needed.difference == max(math.ceil(total) - 10, 0)
        assert needed.equivalence == runs_needed(found).equivalence
    assert runs_needed(welch, 3).difference > runs_needed(welch).difference > 0
    without_spread = paired_comparison([2.0] * 3, [1.0] * 3, 0.5)
    assert (without_spread.df, runs_needed(without_spread, tests).difference) == (None, 0)


@pytest.mark.parametrize(
    ("difference", "half95", "half90", "needed"),
    [
        (0.5, 0.4, 0.3, (0, 0)),  # both shown
        (0.0, 2.0, 1.5, (None, 7)),  # no number of runs shows a difference of zero; 5 x 1.5^2 = 11.25
        (-1.0, 2.0, 1.5, (15, None)),  # or equivalence at the margin; 5 x 2^2 = 20
        (-2.0, 3.0, 1.5, (7, None)),  # or beyond it
        (0.5, 0.5, 0.5, (1, 1)),  # just touching takes one more
        (1e-200, 1.0, 0.5, (None, 0)),  # more than can be counted
    ],
)
def test_runs_needed_may_be_none_or_no_number(difference, half95, half90, needed):
    ci95, ci90 = (difference - half95, difference + half95), (difference - half90, difference + half90)
    paired = Comparison(5, 5, 5, difference, ci95, ci90, None, None, 1.0, True)
    assert astuple(runs_needed(paired))[:2] == needed


def test_runs_needed_to_show_a_difference_beyond_the_margin():
    found = Comparison(5, 5, 5, -1.5, (-2.5, -0.5), (-2.0, -1.0), None, None, 1.0, True)
    assert runs_needed(found).beyond == 5 * (1 / 0.5) ** 2 - 5 == 15
    assert runs_needed(replace(found, difference=0.5, ci95=(-0.5, 1.5))).beyond is None


def test_unpaired_sides_need_runs_beyond_the_larger():
    lopsided = Comparison(5, 5, 9, 1.0, (-1.0, 3.0), (-0.5, 2.5), None, None, 4.0, False)
    assert runs_needed(lopsided).difference == 9 * 4 - 9


def test_the_change_of_a_difference_by_hand():
    # The pairs differ by 1, 2, 3: mean 2, v = 1/3 of 2 df. The sides: means 8 and 3, v = 4/3 of 2 df and 2 of 1 df.
    found = difference_change([2, 4, 6], [1, 2, 3], [6, 8, 10], [1, 5])
    df = (1 / 3 + 4 / 3 + 4) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2 + 4**2)
    half = t.ppf(0.975, df) * math.sqrt(1 / 3 + 4 / 3 + 4)
    assert (found.n_paired, found.n_unpaired, found.paired, found.unpaired, found.change) == (3, 2, 2.0, 5.0, 3.0)
    assert found.ci95 == pytest.approx((3 - half, 3 + half))


def test_the_change_of_a_difference_from_nothing_is_welch_s_interval():
    # Pairs that never differ add nothing to the doubt: R's t.test(extra ~ group, data = sleep).
    found = difference_change([5.0] * 4, [5.0] * 4, SLEEP_1, SLEEP_2)
    assert found.change == pytest.approx(-1.58)
    assert found.ci95 == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)


def test_the_change_of_a_difference_to_nothing_is_the_paired_interval_turned():
    # R: t.test(extra ~ group, data = sleep, paired = TRUE)
    found = difference_change(SLEEP_1, SLEEP_2, [5.0] * 4, [5.0] * 3)
    assert found.ci95 == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


def test_the_interval_of_the_change_covers_95_percent_of_simulated_studies():
    rng = np.random.default_rng(2026)
    studies, n = 4_000, 5
    shared = rng.normal(size=(studies, 1, n))  # what pairs have in common
    matched = shared + rng.normal([[0.3], [0.0]], [[0.5], [0.7]], (studies, 2, n))  # a - b is 0.3
    native = rng.normal([[1.0], [0.0]], [[1.0], [2.0]], (studies, 2, n))  # and 1.0: the change is 0.7
    found = [difference_change(*m, *free).ci95 for m, free in zip(matched, native, strict=True)]
    covered = np.mean([low <= 0.7 <= high for low, high in found])
    assert 0.93 <= covered <= 0.97


def test_the_change_of_a_difference_needs_two_runs_everywhere():
    full, one = [1.0, 2.0], [1.0]
    assert difference_change(full, full, full, full).ci95 is not None
    for short in ((one, one, full, full), (full, full, one, full), (full, full, full, one)):
        found = difference_change(*short)
        assert found.change is not None
        assert found.ci95 is None
    assert difference_change([], [], full, one) == DifferenceChange(0, 1, None, 0.5, None, None)
    assert difference_change(full, full, full, []) == DifferenceChange(2, 0, 0.0, None, None, None)


def test_constants_leave_no_doubt_of_the_change():
    assert difference_change([3.0] * 2, [2.0] * 2, [7.0] * 3, [4.0] * 2).ci95 == (2.0, 2.0)
    b = np.linspace(0.1, 0.9, 7)
    low, high = difference_change(b + 0.01, b, [7.0] * 3, [4.0] * 2).ci95
    assert (low, high) == pytest.approx((2.99, 2.99), abs=1e-12)
    rounded = difference_change([0.1 + 0.2] * 2, [0.3] * 2, [0.1, 0.2, 0.3], [0.3, 0.2, 0.1])
    assert (rounded.paired, rounded.unpaired, rounded.change) == (0.0, 0.0, 0.0)


def test_the_change_of_a_difference_refuses_what_comparisons_refuse():
    with pytest.raises(ValueError, match="pairs, not 2 and 1"):
        difference_change([1, 2], [1], [1, 2], [1, 2])
    for place in range(4):
        values = [[1.0, 2.0] for _ in range(4)]
        values[place] = [1.0, math.nan]
        with pytest.raises(ValueError, match="finite"):
            difference_change(*values)
