import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_1samp

from runners.report.statistics import (
    bca_interval,
    mean_interval,
    pointwise_band,
    simultaneous_band,
)
from tests.runners.report.inference.samples import SLEEP_1, SLEEP_2


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
