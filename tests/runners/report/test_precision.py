"""How sure the mean accuracy is, told and tabled from the variance table."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.pilot import Pilot
from runners.report.sections.variance import (
    PRECISION,
    Source,
    beyond_images_sentences,
    precision_sentences,
    variance_table,
)
from runners.report.tables import runs_table
from tests.runners.report.conftest import ACCURACIES, cells

SD = np.std(ACCURACIES, ddof=1)


@pytest.fixture
def table(make_runs):
    def of(vary="all", **given):
        known = {name: given.pop(name) for name in list(given) if name in ("predictions", "labels", "pilot")}
        return variance_table({vary: Source(make_runs(**given), **known)})

    return of


def precision_grid(variance):
    return cells(PRECISION, variance[variance["metric"] == "test_accuracy"])


def some_wrong(wrong):
    """Predictions of 400 images, all labels 0, of which each seed has these wrong."""
    return {f"keras-matched-seed{seed}": np.isin(np.arange(400), of) for seed, of in enumerate(wrong)}


NESTED = {"predictions": some_wrong([range(20 * (1 + i)) for i in range(5)]), "labels": np.zeros(400)}
APART = {"predictions": some_wrong([range(40 * i, 40 * i + 40) for i in range(5)]), "labels": np.zeros(400)}


def test_the_interval_at_hand_and_what_it_would_be_with_more_runs_is_told(table):
    ((vary, told),) = precision_sentences(table("init", changed={2: {"status": "failed"}}))
    rest = np.delete(ACCURACIES, 2)
    now, with_ten = (stats.t.interval(0.95, n - 1, 0, rest.std(ddof=1) / math.sqrt(n))[1] for n in (4, 10))
    assert vary == "init"
    assert f"its mean accuracy is +-{100 * now:.2f} percentage points over 4 runs; " in told
    assert f"{100 * with_ten:.2f} with 10, " in told
    assert told.endswith(" with 100.")


def test_how_many_runs_the_precision_asked_for_takes_is_told(table):
    ((_, told),) = precision_sentences(table(pilot=Pilot(seeds=range(5), half_width=0.001, runs=5)))
    needed = math.ceil((2.776445105 * SD / 0.001) ** 2)  # t of 4 degrees of freedom
    assert told.endswith(f"; to +-0.1, by the pilot's spread, it takes {needed}.")


def test_one_run_has_no_precision(table):
    assert precision_sentences(table(seeds=[0])) == []
    assert precision_sentences(variance_table({"all": Source(runs_table([]))})) == []


def test_of_runs_that_all_came_out_the_same_no_spread_is_told(table):
    same = table(**NESTED).assign(sd=0.0, half_width=0.0, distribution_variance=0.0, distribution_sd=0.0)
    assert precision_sentences(same) == beyond_images_sentences(same) == []


def test_what_is_left_beyond_the_choice_of_test_images_is_told(table):
    ((_, told),) = beyond_images_sentences(table(**NESTED))
    right = np.array([~wrong for wrong in NESTED["predictions"].values()], float)
    covariances = np.cov(right.T)
    left = math.sqrt((covariances.sum() - np.trace(covariances)) / (400 * 399))
    assert f"over 5 runs {100 * SD:.3f} percentage points on these 400 test images, {100 * left:.3f} on endless" in told
    assert told.endswith(f"worth {100 * math.sqrt(0.15 * 0.85 / 400):.3f} to any accuracy.")  # 15 % wrong on average


def test_a_variance_below_0_is_told_as_it_is_and_nothing_where_it_is_not_known(table):
    ((_, told),) = beyond_images_sentences(table(**APART))
    assert f"on endless ones a variance estimated as {-40 / (400 * 399):.1e}, below 0: none that can be told;" in told
    assert beyond_images_sentences(table()) == []


def test_the_grid_has_a_row_a_contender_in_percentage_points(table):
    pilot = Pilot(seeds=range(5), half_width=0.0025, runs=40)
    heading, row = precision_grid(table(**NESTED, pilot=pilot))
    assert heading[3:5] == ("95 % interval of the mean", "runs to the precision asked for")
    half = 2.776445105 * SD / math.sqrt(5)
    needed = math.ceil((2.776445105 * SD / 0.0025) ** 2)
    assert row[:5] == ("weights and order", "keras, matched", "5", f"±{100 * half:.3f}", f"{needed} to ±0.25")
    assert row[5] == f"{100 * SD:.3f}"
    assert row[7] == f"{100 * math.sqrt(0.15 * 0.85 / 400):.3f}"


def test_what_is_not_known_is_a_dash_in_the_grid_and_a_variance_below_0_is_said(table):
    assert precision_grid(table(seeds=[0]))[1][2:] == ("1", "-", "-", "-", "-", "-")
    assert precision_grid(table(**APART))[1][6] == "variance below 0"
    assert len(precision_grid(pd.DataFrame(columns=table().columns))) == 1
