"""What is drawn of the variance table, held against the runs that it comes from."""

import math
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from runners.report.pilot import Pilot
from runners.report.plots import COLOURS
from runners.report.sections.variance import Source, variance_table
from runners.report.sections.variance_plots import _half_width_plot as half_width_plot
from runners.report.sections.variance_plots import _spread_plot as variance_plot
from runners.report.sections.variance_plots import draw_variance
from runners.report.tables import runs_table
from tests.runners.report.conftest import ACCURACIES, LOSSES

TORCH = [0.899, 0.891, 0.900, 0.898, 0.894]
SD = np.std(ACCURACIES, ddof=1)
EACH = ("all", "init", "order", "nothing")


@pytest.fixture
def table(make_runs):
    """The variance table of keras and torch, from the sources asked for."""

    def of(*sources, pilot=None, **given):
        runs = pd.concat([make_runs("keras", **given), make_runs("torch", **given | {"accuracies": TORCH})])
        return variance_table({vary: Source(runs, pilot=pilot) for vary in sources})

    return of


def marks(axes):
    """Where the marks of the error bars lie, by colour: points (x, y)."""
    lines = [container.lines for container in axes.containers]
    return {to_hex(line.get_color()): np.column_stack(line.get_data()).astype(float) for line, *_ in lines}


def ends(axes):
    """How far the error bars reach, by colour: (low, high) each."""
    bars = [bar for container in axes.containers for bar in container.lines[2]]
    return {to_hex(bar.get_color()[0]): [tuple(part[:, 0]) for part in bar.get_segments()] for bar in bars}


def legend(plot):
    return [text.get_text() for text in plot.figure.legends[0].get_texts()]


def hollow(axes):
    return [line for line in axes.get_lines() if line.get_markerfacecolor() == "none" and len(line.get_xdata())]


@pytest.mark.parametrize(("panel", "values", "unit"), [(0, ACCURACIES, 100), (1, LOSSES, 1)])
def test_each_contender_s_sd_is_drawn_with_its_interval_in_its_colour(table, panel, values, unit):
    axes = variance_plot(table("all", "init")).figure.axes[panel]
    sd, keras = unit * np.std(values, ddof=1), COLOURS["keras"].lower()
    points = marks(axes)
    assert set(points) == {colour.lower() for colour in COLOURS.values()}
    assert points[keras][:, 0] == pytest.approx([sd, sd])
    interval = [sd * math.sqrt(4 / stats.chi2.ppf(q, 4)) for q in (0.975, 0.025)]
    assert ends(axes)[keras] == [pytest.approx(interval)] * 2


def test_sources_stand_in_order_with_the_contenders_of_each_beside_each_other(table):
    figure = variance_plot(table(*reversed(EACH))).figure
    for axes in figure.axes:
        labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
        assert labels == ["weights and order", "initial weights only", "batch order only", "nothing"]
        rows = {colour: points[:, 1] for colour, points in marks(axes).items()}
        assert [list(y.round()) for y in rows.values()] == [[0, 1, 2, 3]] * 2
        assert len(np.unique(np.concatenate(list(rows.values())))) == 8
        assert axes.get_ylim() == (3.5, -0.5)
    assert [axes.get_xlabel() for axes in figure.axes] == ["SD over runs (percentage points)", "SD over runs (nats)"]


def test_a_contender_stands_where_it_has_runs(make_runs):
    two = Source(pd.concat([make_runs("keras"), make_runs("torch")]))
    axes = variance_plot(variance_table({"all": two, "nothing": Source(make_runs("torch"))})).figure.axes[0]
    assert [len(points) for points in marks(axes).values()] == [1, 2]


def test_an_sd_of_exactly_0_is_drawn_on_an_axis_that_begins_there(make_runs):
    same = make_runs(accuracies=[0.9] * 5)
    plot = variance_plot(variance_table({"nothing": Source(same)}))
    (points,) = marks(plot.figure.axes[0]).values()
    assert points[0, 0] == 0
    assert all(axes.get_xlim()[0] == 0 < axes.get_xlim()[1] for axes in plot.figure.axes)
    assert "test accuracy, nothing (what remains is nondeterminism), keras matched: 0 percentage points" in plot.alt


def test_an_infinite_sd_is_not_drawn(table):
    variance = table("all")
    wild = variance.assign(sd=variance["sd"].mask(variance["metric"] == "test_loss", np.inf))
    assert set(variance_plot(wild).data["metric"]) == {"test_accuracy"}
    assert len(variance_plot(wild).figure.axes) == 1


def test_the_data_of_the_variance_plot_is_the_table_in_the_units_drawn(table):
    variance = table(*EACH)
    data = variance_plot(variance).data
    assert len(data) == len(variance) == 16
    assert set(zip(data["metric"], data["unit"], strict=True)) == {
        ("test_accuracy", "percentage points"),
        ("test_loss", "nats"),
    }
    times = np.where(variance["metric"] == "test_accuracy", 100, 1)
    for column in ("sd", "sd_ci95_low", "sd_ci95_high"):
        assert data[column].to_numpy() == pytest.approx(times * variance[column].to_numpy())
    assert list(data["vary"]) == [vary for vary in EACH for _ in range(4)]


@pytest.mark.parametrize("draw", [variance_plot, half_width_plot])
def test_without_two_runs_of_a_contender_there_is_nothing_to_draw(table, draw):
    assert draw(table("all", seeds=[0])) is None
    assert draw(variance_table({"all": Source(runs_table([]))})) is None


def test_the_curve_is_the_half_width_of_so_many_runs_and_the_mark_that_of_those_at_hand(table):
    plot = half_width_plot(table("all"))
    (axes,) = plot.figure.axes
    curve = next(line for line in axes.get_lines() if to_hex(line.get_color()) == COLOURS["keras"].lower())
    runs, widths = curve.get_data()
    assert (runs[0], runs[-1]) == (3, 100)
    assert widths == pytest.approx(100 * stats.t.ppf(0.975, runs - 1) * SD / np.sqrt(runs))
    at_hand = plot.data[plot.data["what"] == "at hand"].set_index("contender").loc["keras"]
    interval = stats.ttest_1samp(ACCURACIES, 0).confidence_interval(0.95)
    assert at_hand["runs"] == 5
    assert at_hand["half_width"] == pytest.approx(100 * (interval.high - interval.low) / 2)
    points = [np.ravel(line.get_data()) for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert points[0] == pytest.approx([5, at_hand["half_width"]])
    assert legend(plot) == ["keras", "torch", "runs at hand"]
    assert hollow(axes) == []
    assert "asked for" not in plot.caption


def test_the_precision_asked_for_is_marked_with_the_runs_that_it_takes(table):
    plot = half_width_plot(table("all", pilot=Pilot(seeds=range(5), half_width=0.0025, runs=60)))
    (axes,) = plot.figure.axes
    needed = [math.ceil((2.776445105 * np.std(of, ddof=1) / 0.0025) ** 2) for of in (ACCURACIES, TORCH)]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in hollow(axes)] == [(n, 0.25) for n in needed]
    assert any(list(line.get_ydata()) == [0.25, 0.25] for line in axes.get_lines())
    assert "asked for" in legend(plot)
    assert "by the pilot's spread" in plot.caption
    assert f"and 0.25 takes {needed[0]}" in plot.alt


def test_every_source_has_axes_of_its_own_on_one_scale(table):
    figure = half_width_plot(table("all", "nothing")).figure
    assert [axes.get_title("left") for axes in figure.axes] == [
        *("weights and order", "nothing (what remains is nondeterminism)")
    ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert figure.axes[0].get_ylim()[0] == 0
    assert figure.axes[1].get_xlabel() == "runs of a contender (number of seeds)"


def test_two_runs_and_more_than_a_hundred_are_drawn_from_and_to_them(make_runs, make_record):
    two = half_width_plot(variance_table({"all": Source(make_runs(seeds=range(2)))})).data
    assert two["runs"].min() == 2
    many = runs_table([make_record(seed=seed, epochs=1) for seed in range(120)])
    assert half_width_plot(variance_table({"all": Source(many)})).data["runs"].max() == 120
    asked = Pilot(seeds=range(5), half_width=0.0001, runs=60)
    data = half_width_plot(variance_table({"all": Source(make_runs(), pilot=asked)})).data
    last = data.groupby("what")["runs"].max()
    assert last["foreseen"] == last["asked for"] > 10_000


def test_both_are_files_with_what_they_draw_and_take_the_place_of_earlier_ones(table, tmp_path):
    settings = dict(mpl.rcParams)
    drawn = draw_variance(table(*EACH, pilot=Pilot(seeds=range(5), half_width=0.0025, runs=60)), tmp_path)
    names = ("variance", "variance_half_width")
    assert tuple(plot.name for plot in drawn) == names
    files = {f"{name}.{ending}" for name in names for ending in ("png", "svg", "csv")}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == files
    for plot in drawn:
        written = pd.read_csv(tmp_path / "plots" / f"{plot.name}.csv")
        pd.testing.assert_frame_equal(written, plot.data, check_dtype=False)
        assert not re.search(r"\bnan\b|\binf\b", plot.alt + plot.caption)
    (tmp_path / "plots" / "test_loss.png").touch()
    assert draw_variance(table("all", seeds=[0]), tmp_path) == []
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["test_loss.png"]
    assert dict(mpl.rcParams) == settings
