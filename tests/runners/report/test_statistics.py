import itertools
import math
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, chi2, mannwhitneyu, norm, t, ttest_1samp

from runners.report.statistics import (
    Comparison,
    DifferenceChange,
    DistributionVariance,
    Improvement,
    Wins,
    agreement,
    bca_interval,
    difference_change,
    distribution_variance,
    half_width,
    half_width_of,
    holm,
    mean_interval,
    noether_pairs,
    outliers,
    paired_comparison,
    pointwise_band,
    probability_of_improvement,
    ratio_comparison,
    runs_needed,
    sampling_error,
    sd_interval,
    simultaneous_band,
    standard_deviation,
    stein_half_width,
    stein_interval,
    stein_runs,
    welch_comparison,
    wins,
)

# Student (1908), hours of extra sleep of ten patients under two drugs; R's `sleep`, with what R's t.test prints of it.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

NUMBERS = st.integers(-1000, 1000).map(lambda n: n / 100)
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
    assert found.correlation == pytest.approx(0.7951702, abs=1e-7)
    assert (found.n, found.n_a, found.n_b, found.paired, found.margin, found.ratio) == (10, 10, 10, True, 1.0, False)


def test_welch_comparison_is_r_s_welch_t_test():
    found = welch_comparison(SLEEP_1, SLEEP_2, margin=1.0)
    assert found.difference == pytest.approx(-1.58)
    assert found.ci95 == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)
    assert found.p_difference == pytest.approx(0.07939, abs=5e-6)
    assert found.correlation is None
    assert not found.paired


@pytest.mark.parametrize("margin", [0.5, 1.58, 2.5])
def test_paired_equivalence_is_two_one_sided_tests(margin):
    found = paired_comparison(SLEEP_1, SLEEP_2, margin)
    standard_error = 1.58 / 4.062128
    assert found.p_equivalence == pytest.approx(tost_by_hand(-1.58, standard_error, 9, margin), rel=1e-4)
    half = t.ppf(0.95, 9) * standard_error
    assert found.ci90 == pytest.approx((-1.58 - half, -1.58 + half), rel=1e-5)


@pytest.mark.parametrize("margin", [0.5, 1.58, 4.0])
def test_welch_equivalence_is_two_one_sided_tests(margin):
    found = welch_comparison(SLEEP_1, SLEEP_2, margin)
    standard_error = 1.58 / 1.860813
    assert found.p_equivalence == pytest.approx(tost_by_hand(-1.58, standard_error, 17.776474, margin), rel=1e-4)
    half = t.ppf(0.95, 17.776474) * standard_error
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
    assert found.correlation is None


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
    assert (found.p_difference, found.p_equivalence, found.correlation) == (p_difference, p_equivalence, None)


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
    assert found.correlation == pytest.approx(1.0)


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


@pytest.mark.parametrize(("n", "half_width_in_sds"), [(3, 2.48), (5, 1.24), (10, 0.715), (30, 0.373)])
def test_the_mean_s_interval_has_the_published_half_width(n, half_width_in_sds):
    values = np.arange(n) / np.std(np.arange(n), ddof=1)
    low, high = mean_interval(values)
    assert (high - low) / 2 == pytest.approx(half_width_in_sds, rel=2.5e-3)
    assert (high + low) / 2 == pytest.approx(values.mean())


def test_the_mean_s_interval_of_student_s_sleep_is_r_s():
    # R: t.test(extra ~ 1, data = sleep)
    assert mean_interval(SLEEP_1 + SLEEP_2) == pytest.approx((0.5955845, 2.4844155), abs=1e-7)
    assert mean_interval(SLEEP_1, confidence=0.5) == pytest.approx((0.75 - 0.3975, 0.75 + 0.3975), abs=2e-4)


def test_the_mean_s_interval_of_few_or_equal_values():
    assert mean_interval([]) is None
    assert mean_interval([1.0]) is None
    assert mean_interval([0.0, 2.0]) == pytest.approx((1 - 12.7062047, 1 + 12.7062047))
    assert mean_interval([0.1] * 3) == (0.1, 0.1)
    with pytest.raises(ValueError, match="finite"):
        mean_interval([1.0, math.nan])
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1.0, 2.0], confidence=95)


def test_the_band_is_an_interval_at_each_epoch():
    curves = np.array([SLEEP_1, SLEEP_2, [1.0] * 10]).T  # 10 runs of 3 epochs
    mean, low, high = pointwise_band(curves)
    assert mean == pytest.approx([0.75, 2.33, 1.0])
    assert list(zip(low, high, strict=True)) == [pytest.approx(mean_interval(column)) for column in curves.T]
    narrower = pointwise_band(curves, confidence=0.5)
    assert narrower[2] - narrower[1] == pytest.approx((high - low) * t.ppf(0.75, 9) / t.ppf(0.975, 9))


def test_a_band_needs_two_runs():
    mean, low, high = pointwise_band([[1.0, 2.0]])
    assert mean.tolist() == [1.0, 2.0]
    assert np.isnan([low, high]).all()
    assert np.isnan(pointwise_band(np.zeros((0, 2)))).tolist() == [[True, True]] * 3
    for bad in ([1.0, 2.0], [[1.0, math.nan], [1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"finite and of shape \(runs, epochs\)"):
            pointwise_band(bad)


def largest_t_of_every_sign(curves):
    """The distribution that the bootstrap draws from, whole: every pattern of signs, one t test an epoch."""
    residuals = curves - curves.mean(axis=0)
    patterns = np.array(list(itertools.product((-1, 1), repeat=len(curves))))
    return np.array([np.abs(ttest_1samp(signs[:, None] * residuals, 0).statistic).max() for signs in patterns])


@pytest.mark.parametrize("runs", [8, 10])
def test_the_simultaneous_band_s_quantile_is_that_of_all_patterns_of_signs(runs):
    curves = np.cumsum(np.random.default_rng(runs).normal(size=(runs, 6)), axis=1)
    mean, low, high = simultaneous_band(curves, 0.9, np.random.default_rng(0))
    assert mean == pytest.approx(curves.mean(axis=0))
    quantiles = (high - low) / 2 / (curves.std(axis=0, ddof=1) / math.sqrt(runs))
    assert quantiles == pytest.approx(np.full(6, quantiles[0]))
    assert (high + low) / 2 == pytest.approx(mean)
    at_most = np.mean(largest_t_of_every_sign(curves) <= quantiles[0] * (1 + 1e-9))
    assert at_most == pytest.approx(0.9, abs=0.02)  # three standard errors of 2,000 draws


@pytest.mark.parametrize("runs", [2, 5, 7])
def test_below_eight_runs_the_simultaneous_band_is_bonferroni_s(runs):
    curves = np.random.default_rng(1).normal(size=(runs, 5))
    _, low, high = simultaneous_band(curves, 0.9, np.random.default_rng(0))
    _, low_each, high_each = pointwise_band(curves, 1 - 0.1 / 5)
    assert (low, high) == (pytest.approx(low_each), pytest.approx(high_each))


def test_the_simultaneous_band_of_one_epoch_or_of_equal_ones_is_nearly_the_pointwise_one():
    curves = np.array([SLEEP_1]).T
    half = np.subtract(*mean_interval(SLEEP_1)[::-1]) / 2
    for repeated in (curves, np.tile(curves, 4)):
        _, low, high = simultaneous_band(repeated, 0.95, np.random.default_rng(0))
        assert (high - low) / 2 == pytest.approx(np.full(len(low), half), rel=0.1)
        assert ((high - low) / 2 >= half - 1e-12).all()


def test_the_simultaneous_band_is_fixed_by_its_generator():
    curves = np.random.default_rng(2).normal(size=(9, 4))
    one, same, other = (simultaneous_band(curves, 0.95, np.random.default_rng(seed))[2] for seed in (0, 0, 1))
    assert one.tolist() == same.tolist() != other.tolist()


def test_the_simultaneous_band_of_constants_and_coarse_values():
    rng = np.random.default_rng(0)
    moving = rng.normal(size=(10, 1))
    mean, low, high = simultaneous_band(np.hstack([moving, np.full((10, 1), 0.5)]), 0.95, rng)
    assert (mean[1], low[1], high[1]) == (0.5, 0.5, 0.5)
    assert low[0] < mean[0] < high[0]
    assert simultaneous_band(np.full((10, 2), 0.5), 0.95, rng)[2].tolist() == [0.5, 0.5]
    two_values = np.array([[0.1] * 4 + [0.2] * 4]).T  # every residual of one size: 2 of 256 patterns have no spread
    for confidence, quantile in ((0.95, None), (0.995, t.ppf(0.9975, 7))):
        _, low, high = simultaneous_band(two_values, confidence, rng)
        assert np.isfinite([low, high]).all()
        if quantile:
            assert (high - low) / 2 == pytest.approx(quantile * two_values.std(ddof=1) / math.sqrt(8))


def test_a_simultaneous_band_needs_two_finite_runs():
    rng = np.random.default_rng(0)
    mean, low, high = simultaneous_band([[1.0, 2.0]], 0.95, rng)
    assert mean.tolist() == [1.0, 2.0]
    assert np.isnan([low, high]).all()
    assert np.isnan(simultaneous_band(np.zeros((0, 2)), 0.95, rng)).tolist() == [[True, True]] * 3
    assert [len(part) for part in simultaneous_band(np.zeros((9, 0)), 0.95, rng)] == [0, 0, 0]
    for bad in ([1.0, 2.0], [[1.0, math.nan], [1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"finite and of shape \(runs, epochs\)"):
            simultaneous_band(bad, 0.95, rng)
    with pytest.raises(ValueError, match="between 0 and 1"):
        simultaneous_band([[1.0], [2.0]], 95, rng)


# Devore, Probability and Statistics for Engineering and the Sciences, example 7.15: breakdown voltages.
VOLTAGES = [1470, 1510, 1690, 1740, 1900, 2000, 2030, 2100, 2190, 2200, 2290, 2380, 2390, 2480, 2500, 2580, 2700]
# Walpole, Myers, Myers and Ye, Probability & Statistics for Engineers & Scientists, section 9.12: packages of seed.
WEIGHTS = [46.4, 46.1, 45.8, 47.0, 46.1, 45.9, 45.8, 46.9, 45.2, 46.0]


def values_with(sd, n):
    return np.arange(n) * sd / np.std(np.arange(n), ddof=1)


def test_a_standard_deviation_s_interval_is_that_of_the_textbooks():
    assert standard_deviation(VOLTAGES) ** 2 == pytest.approx(137_324.3, abs=0.05)
    assert sd_interval(VOLTAGES) == pytest.approx((276.0, 564.0), abs=0.05)
    assert standard_deviation(WEIGHTS) ** 2 == pytest.approx(0.286, abs=5e-4)
    assert [end**2 for end in sd_interval(WEIGHTS)] == pytest.approx([0.135, 0.954], abs=5e-4)


def test_a_standard_deviation_s_interval_of_nist_s_gears_is_the_published_one():
    # NIST/SEMATECH e-Handbook 1.3.5.8: 100 gear diameters, s = 6.278908e-3; the limits are as Boost.Math prints them.
    assert sd_interval(values_with(6.278908e-3, 100)) == pytest.approx((0.00551, 0.00729), abs=5e-6)


@pytest.mark.parametrize(
    ("n", "low", "high"),  # Boost.Math's table for a standard deviation of 1
    [(2, 0.4461, 31.9102), (3, 0.5207, 6.2847), (5, 0.5991, 2.8736), (10, 0.6878, 1.8256), (100, 0.8780, 1.1617)],
)
def test_a_standard_deviation_s_interval_has_the_published_factors(n, low, high):
    assert sd_interval(values_with(1.0, n)) == pytest.approx((low, high), abs=5e-5)


@given(st.lists(NUMBERS, min_size=2, max_size=30), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_standard_deviation_s_interval_is_where_chi_square_puts_it(values, confidence):
    low, high = sd_interval(values, confidence)
    sd, df = standard_deviation(values), len(values) - 1
    assert sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    if len(set(values)) == 1:
        assert (sd, low, high) == (0.0, 0.0, 0.0)
        return
    # Were the true standard deviation at an end, what was found would be that end's tail.
    assert chi2.sf(df * (sd / low) ** 2, df) == pytest.approx((1 - confidence) / 2, rel=1e-6)
    assert chi2.cdf(df * (sd / high) ** 2, df) == pytest.approx((1 - confidence) / 2, rel=1e-6)


def test_a_standard_deviation_s_interval_covers_the_truth_as_often_as_it_says():
    samples = norm.rvs(scale=3.0, size=(4_000, 5), random_state=np.random.default_rng(0))
    covered = sum(low <= 3.0 <= high for low, high in map(sd_interval, samples))
    assert covered / 4_000 == pytest.approx(0.95, abs=0.01)  # three standard errors


def test_a_standard_deviation_is_zero_only_where_all_is_the_same_to_the_last_bit():
    assert np.std([0.1] * 3, ddof=1) != 0  # the mean's rounding
    assert standard_deviation([0.1] * 3) == 0.0
    assert sd_interval([0.1] * 3) == (0.0, 0.0)
    last_bit = [0.3, 0.3, math.nextafter(0.3, 1)]
    assert standard_deviation(last_bit) == pytest.approx((math.nextafter(0.3, 1) - 0.3) / math.sqrt(3))
    assert sd_interval(last_bit)[0] > 0


def test_a_standard_deviation_needs_two_finite_values():
    for few in ([], [1.0]):
        assert standard_deviation(few) is sd_interval(few) is None
    for bad in ([1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"finite and of shape \(runs,\)"):
            sd_interval(bad)
    for bad in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="between 0 and 1"):
            sd_interval([1.0, 2.0], confidence=bad)


def test_five_wins_of_five_are_not_yet_significant():
    found = wins([2, 3, 4, 5, 6], [1, 1, 1, 1, 1])
    assert (found.a, found.b, found.ties, found.share) == (5, 0, 0, 1.0)
    assert found.ci95 == pytest.approx((0.478, 1.0), abs=5e-4)
    # Of five pairs no sign test says more, and 0.5 is inside the interval.
    assert binomtest(found.a, found.a + found.b).pvalue == pytest.approx(0.0625)
    assert found.ci95[0] < 0.5


def test_wins_have_the_published_exact_interval():
    # R: binom.test(7, 10)$conf.int
    found = wins([1] * 7 + [0] * 3, [0] * 7 + [1] * 3)
    assert found.ci95 == pytest.approx((0.3475471, 0.9332605), abs=1e-7)
    turned = wins([1] * 7 + [0] * 3, [0] * 7 + [1] * 3, higher_is_better=False)
    assert (turned.a, turned.b, turned.share) == (3, 7, 0.3)
    assert turned.ci95 == pytest.approx((1 - 0.9332605, 1 - 0.3475471), abs=1e-7)


def test_ties_count_one_half():
    assert wins([1, 1, 2, 0], [1, 1, 1, 1]) == Wins(1, 1, 2, 0.5, pytest.approx((0.0675860, 0.9324140), abs=1e-7))
    odd = wins([1, 2], [1, 1])
    assert (odd.a, odd.b, odd.ties, odd.share) == (1, 0, 1, 0.75)
    assert odd.ci95 == pytest.approx((0.0125791, 1.0), abs=1e-7)  # from 1 of 2 to 2 of 2
    assert wins([], []) == Wins(0, 0, 0, None, None)


def test_a_failure_is_a_loss_and_two_tie():
    found = wins([-math.inf, 0.9, -math.inf], [0.8, -math.inf, -math.inf])
    assert (found.a, found.b, found.ties) == (1, 1, 1)
    for a, b in (([math.nan], [1.0]), ([1.0], [math.nan]), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="equal length without NaN"):
            wins(a, b)


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


def test_outliers_lie_ten_standard_deviations_out():
    middle = [1.0, 2.0, 3.0, 4.0, 5.0]  # with one value far out on each side the median is 3, the MAD 2
    assert outliers([*middle, 32.64, -26.64]).tolist() == [False] * 7  # 29.652 away is the limit
    assert outliers([*middle, 32.66, -26.64]).tolist() == [False] * 5 + [True, False]
    assert outliers([*middle, 32.64, -26.66]).tolist() == [False] * 6 + [True]


def test_outliers_without_deviation_are_what_differs():
    assert outliers([]).tolist() == []
    assert outliers([1.0]).tolist() == [False]
    assert outliers([1.0, 1e9]).tolist() == [False, False]
    assert outliers([5.0, 5.0, 5.1]).tolist() == [False, False, True]
    assert outliers([0.1 + 0.2, 0.3, 0.3]).tolist() == [False] * 3
    with pytest.raises(ValueError, match="finite"):
        outliers([1.0, math.nan])


def test_runs_needed_is_the_formula():
    rng = np.random.default_rng(0)
    d = rng.normal(size=6)
    d = (d - d.mean()) / d.std(ddof=1) * 0.004 + 0.002  # m = 0.002, s = 0.004
    found = runs_needed(paired_comparison(0.9 + d, np.full(6, 0.9), margin=0.005))
    assert found.difference == math.ceil((2.570582 * 0.004 / 0.002) ** 2) - 6 == 21
    assert found.equivalence == math.ceil((2.015048 * 0.004 / 0.003) ** 2) - 6 == 2
    ratios = runs_needed(ratio_comparison(np.exp(0.9 + d), np.full(6, np.exp(0.9)), math.exp(0.005), paired=True))
    assert ratios == found


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
    paired = Comparison(5, 5, 5, difference, ci95, ci90, None, None, 1.0, True, None)
    assert astuple(runs_needed(paired))[:2] == needed


def test_runs_needed_to_show_a_difference_beyond_the_margin():
    found = Comparison(5, 5, 5, -1.5, (-2.5, -0.5), (-2.0, -1.0), None, None, 1.0, True, None)
    assert runs_needed(found).beyond == 5 * (1 / 0.5) ** 2 - 5 == 15
    assert runs_needed(replace(found, difference=0.5, ci95=(-0.5, 1.5))).beyond is None


def test_unpaired_sides_need_runs_beyond_the_larger():
    lopsided = Comparison(5, 5, 9, 1.0, (-1.0, 3.0), (-0.5, 2.5), None, None, 4.0, False, None)
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


def predictions(both, only_a, only_b, neither):
    """Of two runs of which so many images are right in both, in one, and in none; every label is 0."""
    a = np.repeat([0, 0, 1, 1], [both, only_a, only_b, neither])
    b = np.repeat([0, 1, 0, 2], [both, only_a, only_b, neither])
    return a, b, np.zeros_like(a)


@pytest.mark.parametrize(
    ("table", "p"),
    [
        # Agresti (1990), p. 350, approval ratings: both tails of 86 heads in 236 throws, counted
        ((794, 150, 86, 570), pytest.approx(2 * sum(math.comb(236, heads) for heads in range(87)) / 2**236)),
        ((21, 2, 9, 12), pytest.approx(0.06543, abs=5e-6)),  # R: mcnemar.exact of exact2x2, its vignette's example
        # statsmodels' own tests, by Vassar College's calculator
        ((101, 121, 59, 33), pytest.approx(0.000004, abs=5e-7)),
        ((101, 70, 59, 33), pytest.approx(0.378688, abs=5e-7)),
        ((101, 80, 59, 33), pytest.approx(0.089452, abs=5e-7)),
        ((101, 10, 30, 33), pytest.approx(0.002221, abs=5e-7)),
        ((101, 10, 10, 33), 1.0),
        ((7, 0, 0, 3), 1.0),  # nothing speaks for either
    ],
)
def test_mcnemar_s_exact_test_has_the_published_p(table, p):
    a, b, labels = predictions(*table)
    assert agreement(a, b, labels).p_mcnemar == p
    assert agreement(b, a, labels).p_mcnemar == p


def test_agreement_is_the_share_of_equal_predictions_right_or_wrong():
    a, b = np.array([0, 1, 2, 3], np.uint8), np.array([0, 1, 2, 9], np.uint8)
    assert astuple(agreement(a, b)) == (4, 0.75, None)
    assert astuple(agreement(a, b, [9, 9, 9, 9])) == (4, 0.75, 1.0)
    assert agreement(a, a).share == 1.0
    assert astuple(agreement([], [])) == (0, None, None)


@pytest.mark.parametrize("bad", [([1, 2], [1]), ([[1]], [[1]]), ([1, 2], [1, 2], [1]), ([1], [1], [[1]]), ([1, 2], 1)])
def test_agreement_needs_one_shape(bad):
    with pytest.raises(ValueError, match="one shape"):
        agreement(*bad)


# Efron & Tibshirani (1993), An Introduction to the Bootstrap, table 14.1: the spatial test A of 26 children.
SPATIAL = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]


def test_the_bca_interval_of_the_spatial_test_s_variance_is_the_published_one():
    assert np.var(SPATIAL) == pytest.approx(171.5, abs=0.05)
    low, high = bca_interval(SPATIAL, np.var, np.random.default_rng(0), confidence=0.9)
    # Their table 14.2 has (115.8, 259.6); Martinez & Martinez, example 7.8, (115.97, 258.54): each of 2,000 resamples.
    assert (low, high) == (pytest.approx(115.9, abs=2.5), pytest.approx(259.1, abs=5.0))
    percentile = (100.8, 233.9)  # what it corrects
    assert low > percentile[0] + 10
    assert high > percentile[1] + 10


def bca_by_hand(values, statistic, rng, confidence, draws=20_000):
    """Efron & Tibshirani (1993), equations 14.10, 14.14 and 14.15."""
    resampled = np.apply_along_axis(statistic, 1, rng.choice(values, (draws, len(values))))
    bias = norm.ppf((resampled < statistic(values)).mean())
    left_out = np.array([statistic(np.delete(values, i)) for i in range(len(values))])
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = bias + norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    return np.quantile(resampled, norm.cdf(bias + z / (1 - acceleration * z)))


@pytest.mark.parametrize("statistic", [np.mean, np.std])
def test_the_bca_interval_is_efron_s(statistic):
    values = np.random.default_rng(4).gamma(2.0, size=40)
    found = bca_interval(values, statistic, np.random.default_rng(0))
    expected = bca_by_hand(values, statistic, np.random.default_rng(1), 0.95)
    assert found == pytest.approx(expected, abs=0.03 * np.std(values))


def test_a_bootstrap_interval_is_fixed_by_its_generator_and_of_constants_a_point():
    one, same, other = (bca_interval(SPATIAL, np.mean, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one == same != other
    assert bca_interval([0.1] * 20, np.median, np.random.default_rng(0)) == (0.1, 0.1)


@pytest.mark.parametrize("n", [0, 1, 2, 19])
def test_below_twenty_runs_there_is_no_bootstrap_interval(n):
    with pytest.raises(ValueError, match=f"needs 20 values, not {n}"):
        bca_interval(range(n), np.mean, np.random.default_rng(0))
    for bad in ([math.nan] * 20, [[1.0]] * 20):
        with pytest.raises(ValueError, match="finite"):
            bca_interval(bad, np.mean, np.random.default_rng(0))
    with pytest.raises(ValueError, match="between 0 and 1"):
        bca_interval(range(20), np.mean, np.random.default_rng(0), confidence=95)


def newcombe_s_quartic(share, runs_a, runs_b):
    """Method 5 multiplied out: mn (t - share)^2 (2 - t)(1 + t) = z^2 t (1 - t) times its bracket, solved for t."""
    t_, z2, k = np.polynomial.Polynomial([0, 1]), 1.959963985**2, (runs_a + runs_b) / 2 - 1
    bracket = (2 - t_) * (1 + t_) + k * ((1 - t_) * (1 + t_) + t_ * (2 - t_))
    equation = runs_a * runs_b * (t_ - share) ** 2 * (2 - t_) * (1 + t_) - z2 * t_ * (1 - t_) * bracket
    roots = np.sort(
        [root.real for root in equation.roots() if abs(root.imag) < 1e-9 and -1e-9 <= root.real <= 1 + 1e-9]
    )
    return roots[0], roots[-1]


@given(st.lists(NUMBERS, min_size=1, max_size=12), st.lists(NUMBERS, min_size=1, max_size=12))
@settings(deadline=None)
def test_unpaired_improvement_is_mann_and_whitney_s_with_newcombe_s_interval(a, b):
    found = probability_of_improvement(a, b, paired=False)
    u = mannwhitneyu(a, b).statistic
    assert found.pairs == len(a) * len(b)
    assert found.probability == pytest.approx(u / found.pairs)
    assert found.ci95 == pytest.approx(newcombe_s_quartic(found.probability, len(a), len(b)), abs=1e-6)
    turned = probability_of_improvement(a, b, paired=False, higher_is_better=False)
    assert turned == probability_of_improvement(b, a, paired=False)
    assert turned.probability == pytest.approx(1 - found.probability)
    assert turned.ci95 == pytest.approx((1 - found.ci95[1], 1 - found.ci95[0]), abs=1e-6)


def test_the_interval_of_an_unpaired_improvement_covers_as_often_as_it_says():
    rng = np.random.default_rng(7)
    for runs, truth in ((5, 0.5), (5, 0.9), (10, 0.97)):
        shift = norm.ppf(truth) * math.sqrt(2)
        studies = [(rng.normal(shift, 1, runs), rng.normal(0, 1, runs)) for _ in range(1_000)]
        found = [probability_of_improvement(a, b, paired=False).ci95 for a, b in studies]
        assert 0.93 <= np.mean([low <= truth <= high for low, high in found]) <= 0.98


def test_a_paired_improvement_is_the_share_of_wins_with_its_exact_interval():
    a, b = [2, 3, 4, 5, 6, 1], [1, 1, 1, 1, 1, 1]
    counted = wins(a, b)
    assert probability_of_improvement(a, b, paired=True) == Improvement(6, 5.5 / 6, counted.ci95)
    lower = probability_of_improvement(a, b, paired=True, higher_is_better=False)
    assert (lower.probability, lower.ci95) == (0.5 / 6, wins(b, a).ci95)
    with pytest.raises(ValueError, match="equal length"):
        probability_of_improvement([1, 2], [1], paired=True)


@pytest.mark.parametrize(("gamma", "runs"), [(0.75, 29), (0.7, 46), (0.9, 12), (0.25, 29), (0.5, None), (1.0, 8)])
def test_noether_s_numbers_of_runs_are_the_published_ones(gamma, runs):
    assert noether_pairs(gamma, alpha=0.05, beta=0.05) == noether_pairs(gamma) == runs


def test_noether_s_number_follows_its_levels_and_takes_nothing_but_probabilities():
    # (1.644854 + 0.841621)^2 / (6 0.25^2) = 16.49, and (2.326348 + 0.841621)^2 / (6 0.25^2) = 26.76
    assert (noether_pairs(0.75, beta=0.2), noether_pairs(0.75, alpha=0.01, beta=0.2)) == (17, 27)
    assert noether_pairs(0.5 + 1e-16) is None
    for bad in ((1.1, 0.05, 0.05), (math.nan, 0.05, 0.05), (0.75, 0.0, 0.05), (0.75, 0.05, 1.0)):
        with pytest.raises(ValueError, match="Probabilities lie within 0 to 1"):
            noether_pairs(*bad)


@pytest.mark.parametrize("gamma", [0.7, 0.75])
def test_so_many_runs_show_it_as_often_as_noether_says(gamma):
    rng, runs = np.random.default_rng(13), noether_pairs(gamma)
    a = rng.normal(norm.ppf(gamma) * math.sqrt(2), 1, (2_000, runs))
    found = mannwhitneyu(a, rng.normal(0, 1, (2_000, runs)), alternative="greater", axis=1, method="asymptotic")
    assert (found.pvalue < 0.05).mean() == pytest.approx(0.95, abs=0.02)


def test_an_improvement_needs_runs_and_counts_failures_as_losses():
    for paired in (True, False):
        assert probability_of_improvement([], [], paired=paired) == Improvement(0, None, None)
        with pytest.raises(ValueError, match="NaN"):
            probability_of_improvement([math.nan, 1.0], [1.0, 1.0], paired=paired)
    assert probability_of_improvement([1.0], [], paired=False) == Improvement(0, None, None)
    one = probability_of_improvement([1.0], [0.0], paired=False)
    assert (one.probability, one.ci95[1]) == (1.0, 1.0)
    assert one.ci95[0] == pytest.approx(1 / (1 + 1.959963985**2), abs=1e-6)  # (1 - t)^2 = z^2 t (1 - t)
    failed = probability_of_improvement([-math.inf, 0.9], [0.8, -math.inf], paired=False)
    assert failed.probability == (0 + 0.5 + 1 + 1) / 4
    with pytest.raises(ValueError, match="shape"):
        probability_of_improvement([[1.0]], [1.0], paired=False)


def test_the_distribution_s_variance_by_hand():
    # Errors 1 1 0 / 0 0 0 / 1 0 1: shares 2/3, 0, 2/3, of variance 4/27; by image 1/3 each, together 1 of 9.
    found = distribution_variance([[0, 0, 1], [1, 1, 1], [0, 1, 0]])
    assert (found.runs, found.images) == (3, 3)
    assert found.observed == pytest.approx(4 / 27)
    assert found.of_distribution == pytest.approx(3 / 2 * (4 / 27 - 1 / 9))


@given(st.integers(2, 6), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_distribution_s_variance_is_the_mean_covariance_of_two_images_errors(runs, images, seed):
    correct = np.random.default_rng(seed).random((runs, images)) < 0.7
    covariances = np.cov(correct.T.astype(float))
    between = covariances[~np.eye(images, dtype=bool)].mean()
    found = distribution_variance(correct)
    assert found.of_distribution == pytest.approx(between, abs=1e-12)
    assert found.observed == pytest.approx(np.var(correct.mean(axis=1), ddof=1), abs=1e-12)


def test_the_distribution_s_variance_is_found_without_bias_and_may_be_negative():
    rng = np.random.default_rng(0)
    difficulty, studies, runs, images = 0.9, 3_000, 5, 60
    skill = rng.normal(0, 0.05, (studies, runs, 1))  # of a run, on any image
    correct = rng.random((studies, runs, images)) < np.clip(difficulty + skill, 0, 1)
    true = np.var(np.clip(difficulty + rng.normal(0, 0.05, 200_000), 0, 1))
    found = np.array([distribution_variance(study).of_distribution for study in correct])
    assert found.mean() == pytest.approx(true, abs=3 * found.std() / math.sqrt(studies))
    assert (found < 0).any()  # and none was raised to zero, which would have biased the mean
    assert np.mean([distribution_variance(study).observed for study in correct]) > 1.4 * true


def test_the_distribution_s_variance_needs_two_runs_and_two_images():
    assert distribution_variance(np.zeros((0, 9))) == DistributionVariance(0, 9, None, None)
    assert distribution_variance(np.zeros((1, 9))) == DistributionVariance(1, 9, None, None)
    assert distribution_variance(np.zeros((2, 0))) == DistributionVariance(2, 0, None, None)
    assert distribution_variance([[0], [1]]) == DistributionVariance(2, 1, 0.5, None)
    assert distribution_variance(np.ones((4, 3))) == DistributionVariance(4, 3, 0.0, 0.0)
    level = np.tile(np.arange(49) < 6, (3, 1))  # three times 6/49, whose mean is rounded
    assert distribution_variance(level) == DistributionVariance(3, 49, 0.0, 0.0)
    for bad in ([1, 0], [[1, 2], [0, 1]], [[math.nan, 0], [1, 1]]):
        with pytest.raises(ValueError, match=r"shape \(runs, images\), each 0 or 1"):
            distribution_variance(bad)


def test_the_test_images_choice_is_worth_three_tenths_of_a_point_at_ninety_percent():
    assert sampling_error(0.9, 10_000) == pytest.approx(0.0030)
    assert sampling_error(0.0, 10_000) == sampling_error(1.0, 5) == 0.0
    assert sampling_error(0.3, 50) == pytest.approx(binom.std(50, 0.3) / 50)
    for bad in ((1.1, 10), (math.nan, 10), (0.5, 0)):
        with pytest.raises(ValueError, match="An accuracy lies within 0 to 1, over at least one image"):
            sampling_error(*bad)


def test_the_interval_of_a_mean_shrinks_as_the_table_of_t_says():
    assert half_width(SLEEP_1, 10) == pytest.approx((2.0297 + 0.5297) / 2, abs=5e-4)  # R: t.test(sleep 1)$conf.int
    unit = values_with(1.0, 10)
    for runs, half in ((3, 2.48), (5, 1.24), (10, 0.715), (30, 0.373)):
        assert half_width(unit, runs) == pytest.approx(half, rel=2.5e-3)
        assert half_width_of(1.0, runs) == pytest.approx(half, rel=2.5e-3)
    assert half_width([1.0], 5) is half_width(unit, 1) is half_width_of(1.0, 1) is None


def test_stein_s_number_of_runs_is_the_formula():
    # s = 1 of 10 runs and t = 2.262157: (2.262157 / 0.5)^2 = 20.47
    assert stein_runs(values_with(1.0, 10), 0.5) == 21
    assert stein_runs(values_with(1.0, 10), 5.0) == 10  # the pilot is enough
    assert stein_runs([0.5] * 4, 0.001) == 4
    assert stein_runs([1.0], 0.1) is stein_interval([], [1.0]) is None
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="half-width must be positive"):
            stein_runs([1.0, 2.0], bad)
    assert stein_half_width([1.0, 3.0], 4) == pytest.approx(12.7062047 * math.sqrt(2) / 2)
    assert stein_half_width([1.0], 4) is None
    low, high = stein_interval([1.0, 3.0], [5.0, 7.0])
    assert (low, high) == pytest.approx((4 - 12.7062047 * math.sqrt(2) / 2, 4 + 12.7062047 * math.sqrt(2) / 2))


def test_stein_s_two_stages_keep_their_level_and_their_width():
    rng, wanted, covered = np.random.default_rng(11), 0.5, 0
    for _ in range(2_000):
        pilot = rng.normal(size=5)
        runs = stein_runs(pilot, wanted)
        low, high = stein_interval(pilot, rng.normal(size=runs - 5))
        assert high - low <= 2 * wanted + 1e-9
        covered += low <= 0 <= high
    assert covered / 2_000 >= 0.95 - 3.1 * math.sqrt(0.05 * 0.95 / 2_000)
