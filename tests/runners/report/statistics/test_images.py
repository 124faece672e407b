import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from runners.report.statistics.images import agreement, distribution_variance, mcnemar_p, sampling_error


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
    assert mcnemar_p(a, b, labels) == p
    assert mcnemar_p(b, a, labels) == p


def test_agreement_is_the_share_of_equal_predictions_right_or_wrong():
    a, b = np.array([0, 1, 2, 3], np.uint8), np.array([0, 1, 2, 9], np.uint8)
    assert agreement(a, b) == 0.75
    assert mcnemar_p(a, b, [9, 9, 9, 9]) == 1.0
    assert agreement(a, a) == 1.0
    assert agreement([], []) is None


@pytest.mark.parametrize("bad", [([1, 2], [1]), ([[1]], [[1]]), ([1, 2], [1, 2], [1]), ([1], [1], [[1]]), ([1, 2], 1)])
def test_agreement_needs_one_shape(bad):
    with pytest.raises(ValueError, match="one shape"):
        (mcnemar_p if len(bad) == 3 else agreement)(*bad)


def test_the_distribution_s_variance_by_hand():
    # Errors 1 1 0 / 0 0 0 / 1 0 1: shares 2/3, 0, 2/3, of variance 4/27; by image 1/3 each, together 1 of 9.
    found = distribution_variance([[0, 0, 1], [1, 1, 1], [0, 1, 0]])
    assert found == pytest.approx(3 / 2 * (4 / 27 - 1 / 9))


@given(st.integers(2, 6), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_distribution_s_variance_is_the_mean_covariance_of_two_images_errors(runs, images, seed):
    correct = np.random.default_rng(seed).random((runs, images)) < 0.7
    covariances = np.cov(correct.T.astype(float))
    between = covariances[~np.eye(images, dtype=bool)].mean()
    assert distribution_variance(correct) == pytest.approx(between, abs=1e-12)


def test_the_distribution_s_variance_is_found_without_bias_and_may_be_negative():
    rng = np.random.default_rng(0)
    difficulty, studies, runs, images = 0.9, 3_000, 5, 60
    skill = rng.normal(0, 0.05, (studies, runs, 1))  # of a run, on any image
    correct = rng.random((studies, runs, images)) < np.clip(difficulty + skill, 0, 1)
    true = np.var(np.clip(difficulty + rng.normal(0, 0.05, 200_000), 0, 1))
    found = np.array([distribution_variance(study) for study in correct])
    assert found.mean() == pytest.approx(true, abs=3 * found.std() / math.sqrt(studies))
    assert (found < 0).any()  # and none was raised to zero, which would have biased the mean
    observed = [np.var(study.mean(axis=1), ddof=1) for study in correct]
    assert np.mean(observed) > 1.4 * true  # which the choice of images would inflate


def test_the_distribution_s_variance_needs_two_runs_and_two_images():
    for too_few in (np.zeros((0, 9)), np.zeros((1, 9)), np.zeros((2, 0)), [[0], [1]]):
        assert distribution_variance(too_few) is None
    assert distribution_variance(np.ones((4, 3))) == 0.0
    level = np.tile(np.arange(49) < 6, (3, 1))  # three times 6/49, whose mean is rounded
    assert distribution_variance(level) == 0.0
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
