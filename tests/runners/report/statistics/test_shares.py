import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu, norm

from runners.report.statistics.shares import (
    Improvement,
    Wins,
    noether_pairs,
    probability_of_improvement,
    wins,
)
from tests.runners.report.statistics.samples import NUMBERS


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
    found = probability_of_improvement(a, b)
    u = mannwhitneyu(a, b).statistic
    assert found.probability == pytest.approx(u / (len(a) * len(b)))
    assert found.ci95 == pytest.approx(newcombe_s_quartic(found.probability, len(a), len(b)), abs=1e-6)
    turned = probability_of_improvement(a, b, higher_is_better=False)
    assert turned == probability_of_improvement(b, a)
    assert turned.probability == pytest.approx(1 - found.probability)
    assert turned.ci95 == pytest.approx((1 - found.ci95[1], 1 - found.ci95[0]), abs=1e-6)


def test_the_interval_of_an_unpaired_improvement_covers_as_often_as_it_says():
    rng = np.random.default_rng(7)
    for runs, truth in ((5, 0.5), (5, 0.9), (10, 0.97)):
        shift = norm.ppf(truth) * math.sqrt(2)
        studies = [(rng.normal(shift, 1, runs), rng.normal(0, 1, runs)) for _ in range(1_000)]
        found = [probability_of_improvement(a, b).ci95 for a, b in studies]
        assert 0.93 <= np.mean([low <= truth <= high for low, high in found]) <= 0.98


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
    assert probability_of_improvement([], []) == Improvement(None, None)
    with pytest.raises(ValueError, match="NaN"):
        probability_of_improvement([math.nan, 1.0], [1.0, 1.0])
    assert probability_of_improvement([1.0], []) == Improvement(None, None)
    one = probability_of_improvement([1.0], [0.0])
    assert (one.probability, one.ci95[1]) == (1.0, 1.0)
    assert one.ci95[0] == pytest.approx(1 / (1 + 1.959963985**2), abs=1e-6)  # (1 - t)^2 = z^2 t (1 - t)
    failed = probability_of_improvement([-math.inf, 0.9], [0.8, -math.inf])
    assert failed.probability == (0 + 0.5 + 1 + 1) / 4
    with pytest.raises(ValueError, match="shape"):
        probability_of_improvement([[1.0]], [1.0])
