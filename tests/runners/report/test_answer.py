"""The drawing of each difference against its margin, which the page shows first."""

import numpy as np
import pytest

from runners.report.sections.comparison.answer import Drawing, answer
from runners.report.sections.comparison.table import comparisons_table
from tests.runners.report.conftest import made_inputs


def drawing_of(make_record, make_plan, metric, **numbers):
    """The drawing of one metric of two contenders, its numbers in the comparisons table replaced by these."""
    inputs = made_inputs(make_plan(), [make_record(name, seed) for name in ("keras", "torch") for seed in range(2)])
    table = comparisons_table(inputs)
    place = table["metric"] == metric
    made = answer(
        inputs.runs, table.assign(**{name: table[name].mask(place, value) for name, value in numbers.items()})
    )
    return made.drawings[list(table["metric"]).index(metric)]


@pytest.mark.parametrize(
    ("metric", "low", "mean", "high", "margin"),
    [("test_accuracy", -0.005, 0.0, 0.005, 0.005), ("train_seconds", 1 / 1.05, 1.0, 1.05, 1.05)],
)
def test_no_difference_is_in_the_middle_and_a_margin_is_a_fifth_of_the_width(
    make_record, make_plan, metric, low, mean, high, margin
):
    numbers = {"ci95_low": low, "difference": mean, "ci95_high": high, "margin": margin}
    drawing = drawing_of(make_record, make_plan, metric, **numbers)
    assert [drawing.low, drawing.mean, drawing.high] == pytest.approx([0.3, 0.5, 0.7])


def test_an_interval_from_zero_to_infinity_fills_the_width(make_record, make_plan):
    wild = {"ci95_low": 0.0, "difference": 1.0, "ci95_high": np.inf}
    assert drawing_of(make_record, make_plan, "train_seconds", **wild) == Drawing(0.0, 0.5, 1.0)


def test_without_an_interval_nothing_is_drawn(make_record, make_plan):
    assert drawing_of(make_record, make_plan, "test_accuracy", ci95_low=None) is None
