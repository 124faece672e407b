import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, norm, t, ttest_1samp

from runners.report.statistics.means import (
    _largest_t,
    half_width,
    mean_interval,
    outliers,
    pointwise_band,
    sd_interval,
    simultaneous_band,
    standard_deviation,
    stein_half_width,
    stein_interval,
    stein_runs,
)
from tests.runners.report.statistics.samples import NUMBERS, SLEEP_1, SLEEP_2


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


def test_a_draw_that_gives_all_residuals_one_value_has_an_infinite_t():
    curves = np.array([[1.0]] * 4 + [[-1.0]] * 4)
    largest = _largest_t(curves, np.random.default_rng(0))
    assert np.isinf(largest).mean() == pytest.approx(2 / 2**8, abs=0.006), "two of the 256 patterns of signs do"


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


def test_the_interval_of_a_mean_shrinks_as_the_table_of_t_says():
    r_has = pytest.approx((2.0297 + 0.5297) / 2, abs=5e-4)  # R: t.test(sleep 1)$conf.int
    assert half_width(standard_deviation(SLEEP_1), 10) == stein_half_width(SLEEP_1, 10) == r_has
    for runs, half in ((3, 2.48), (5, 1.24), (10, 0.715), (30, 0.373)):
        assert half_width(1.0, runs) == pytest.approx(half, rel=2.5e-3)
    assert half_width(1.0, 1) is None


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
