"""How often the verdicts and bands are wrong, by simulated studies whose truth is known, from fixed generators.

Standard deviations are of the size that real studies have, in accuracy: a seed moves both contenders by 0.2 points
together, and each of them by 0.15 points alone.
"""

from collections import Counter

import numpy as np
import pytest

from runners.report.statistics import simultaneous_band
from runners.report.verdict import METRICS, compare, verdict

STUDIES = 2_000
BANDS = 500
ACCURACY, *_, TOTAL = METRICS
SHARED, ALONE = 0.002, 0.0015
# Of 2,000 studies the share found strays so far from the true one in one case of a thousand.
STRAY = 3.1 * np.sqrt(0.05 * 0.95 / STUDIES)


def kinds(difference, n, paired, metric=ACCURACY, alone=(ALONE, ALONE), seed=0):
    """The share of each verdict over the simulated studies; `difference` is a - b, or of the logs of a and b."""
    rng = np.random.default_rng([seed, n, paired])
    shared = rng.normal(0, SHARED, (STUDIES, n)) if paired else np.zeros((STUDIES, n))
    a, b = (shared + rng.normal(0, spread, (STUDIES, n)) for spread in alone)
    a, b = (np.exp(a + difference), np.exp(b)) if metric.ratio else (0.9 + difference + a, 0.9 + b)
    found = Counter(
        verdict(compare(metric, one, other, paired=paired), "A", "B", metric).kind
        for one, other in zip(a, b, strict=True)
    )
    return {kind: times / STUDIES for kind, times in found.items()}


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("paired", [True, False], ids=["matched", "native"])
class TestNullStudies:
    def test_where_nothing_differs_neither_better_nor_different_is_said_more_often_than_one_in_twenty(self, n, paired):
        # Spreads for which about half of the studies leave it open whether they are equivalent.
        found = kinds(0.0, n, paired, alone=(0.005 * np.sqrt(n / 10),) * 2)
        assert found["inconclusive"] > 0.1  # so that there was something to get wrong
        assert found.get("better", 0) <= 0.05
        assert found.get("better", 0) + found.get("different", 0) <= 0.05 + STRAY

    def test_at_the_margin_better_and_equivalent_are_said_at_their_nominal_rates_and_no_more(self, n, paired):
        found = kinds(0.005, n, paired)
        assert 0.01 < found["better"] <= 0.025 + STRAY  # one end of a 95 % interval
        assert 0.03 < found["equivalent"] <= 0.05 + STRAY


@pytest.mark.parametrize(("n", "paired"), [(5, True), (10, False)])
def test_at_the_margin_of_a_time_equivalent_is_said_of_at_most_one_study_in_twenty(n, paired):
    found = kinds(-np.log(1.05), n, paired, metric=TOTAL, alone=(0.01, 0.01), seed=2)
    assert 0.03 < found["equivalent"] <= 0.05 + STRAY


def test_unequal_spreads_in_native_keep_the_rates():
    found = kinds(0.005, 10, paired=False, alone=(0.0005, 0.004), seed=4)
    assert found["equivalent"] <= 0.05 + STRAY
    assert found.get("better", 0) <= 0.025 + STRAY


@pytest.mark.parametrize("runs", [5, 10, 30])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_simultaneous_band_has_the_whole_true_curve_inside_as_often_as_it_says(runs, correlation):
    rng, epochs = np.random.default_rng([5, runs]), 13
    apart = np.abs(np.subtract.outer(np.arange(epochs), np.arange(epochs)))
    covariance = np.where(apart == 0, 1.0, correlation ** np.maximum(apart, 1))
    mix = np.linalg.cholesky(covariance) * np.linspace(3, 1, epochs)[:, np.newaxis]  # early epochs spread more
    covered = 0
    for _ in range(BANDS):
        _, low, high = simultaneous_band(rng.normal(size=(runs, epochs)) @ mix.T, 0.95, rng)
        covered += bool(((low <= 0) & (high >= 0)).all())
    assert covered / BANDS >= 0.95 - 3.1 * np.sqrt(0.05 * 0.95 / BANDS)
    assert covered / BANDS < 0.99
