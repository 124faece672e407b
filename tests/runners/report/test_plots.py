import itertools
import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from PIL import Image

from runners.parity.divergence import Divergence, Line
from runners.report.metrics import BY_NAME, CURVES, compared_metrics
from runners.report.plots import COLOURS, IN_THE_DARK, INK, looks, replace_all
from runners.report.sections import learning, variance
from runners.report.sections.clock import STAGES, split_clock
from runners.report.sections.comparison import section as comparison
from runners.report.sections.comparison.plots import SEEDS_AS_DOTS, forest, paired_runs
from runners.report.sections.comparison.table import comparisons_table
from runners.report.sections.learning import QUANTILES, SEED, learning_curves
from runners.report.sections.parity import divergence_plot
from runners.report.sections.scaling import scaling_plot, scaling_table
from runners.report.sections.spread import RUNS_AS_DOTS, distribution
from runners.report.statistics.means import simultaneous_band
from runners.report.tables import epochs_table, runs_table
from tests.runners.report.conftest import made_inputs

ONE_RUN = [
    *("test_accuracy", "test_loss", "train_loss", "seconds_per_epoch"),
    *("distribution_test_accuracy", "distribution_test_loss"),
    *("distribution_train_seconds", "distribution_total_seconds", "split_clock"),
]
NAMES = ["differences", "pairs_test_accuracy", "pairs_train_seconds", *ONE_RUN]
NAMES += ["variance", "variance_half_width"]
BAND = ["simultaneous 95 % band", "5 % and 95 % of runs"]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(figure, *, thick):
    """The runs or quantiles, or with `thick` the means; what has no points is only there for the legend."""
    drawn = [line for axes in figure.axes for line in axes.get_lines() if len(line.get_xdata())]
    return [line for line in drawn if (line.get_linewidth() > 1) == thick]


def bands(figure):
    found = [c for axes in figure.axes for c in axes.collections if isinstance(c, PolyCollection)]
    return [band for band in found if len(band.get_paths()) and len(band.get_paths()[0].vertices) > 3]


def accuracy_curves(records):
    return learning_curves(epochs_table(records), BY_NAME["test_accuracy"])


def drawn(make_plan, records, folder):
    inputs = made_inputs(make_plan(), records)
    made = [comparison.section(inputs, comparisons_table(inputs)), learning.section(inputs), variance.section(inputs)]
    plots = [plot for section in made for plot in section.plots]
    replace_all(plots, folder / "plots")
    return plots


def pairs(plan, records, name="test_accuracy", unmatched=()):
    """The plots of pairs by seed, where these contenders fail the parity audit."""
    inputs = made_inputs(plan, records, unmatched=unmatched)
    return paired_runs(inputs.runs, comparisons_table(inputs), BY_NAME[name])


def test_every_plot_is_there_as_png_svg_and_csv(everything):
    assert [plot.name for plot in everything.plots] == NAMES
    files = sorted(path.name for path in (everything.folder / "plots").iterdir())
    assert files == sorted(f"{name}.{ending}" for name in NAMES for ending in ("png", "svg", "csv"))


@pytest.mark.parametrize("name", NAMES)
def test_a_png_opens_and_is_800_pixels_wide(everything, name):
    with Image.open(everything.folder / "plots" / f"{name}.png") as image:
        image.load()
        assert image.size[0] == 800
        assert len(image.convert("RGB").getcolors(2**20)) > 20  # something is drawn


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_is_one_refers_to_nothing_outside_it_and_has_ink_for_the_dark(everything, name):
    path = everything.folder / "plots" / f"{name}.svg"
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert links
    assert all(link.startswith("#") for link in links)
    text = path.read_text()
    assert f'@media (prefers-color-scheme: dark){{[style*="fill: {INK}"]{{fill:{IN_THE_DARK[INK]}!important}}' in text
    assert re.search(f'style="[^"]*fill: {INK}', text)
    assert not re.search("(fill|stroke): #(000000|ffffff|262626)", text)  # neither stays black nor covers the page


def test_the_csv_holds_what_is_drawn(everything):
    for plot in everything.plots:
        table = pd.read_csv(everything.folder / "plots" / f"{plot.name}.csv")
        pd.testing.assert_frame_equal(table, plot.data.reset_index(drop=True), check_dtype=False)
        assert len(table) > 0


def test_every_axis_says_its_unit(everything, make_record, make_plan):
    plan = make_plan(contenders=("torch", "torch:ddp:2"))
    scaling = scaling_plot(scaling_table(runs_table([make_record(name) for name in ("torch", "torch:ddp:2")]), plan))
    line = Line(a="keras", b="torch", framework=None, precision="float32", distances=(1e-8, 0.1))
    parting = divergence_plot(Divergence(steps=(1, 469), lines=(line,)))
    for plot in (*everything.plots, scaling, parting):
        for axes in plot.figure.axes:
            named = [label for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
            assert all(re.search(r"\(.+\)|seconds per", label) for label in named), plot.name
        assert plot.figure.axes[-1].get_xlabel(), plot.name


def texts(figure):
    """What is written along each axis, the ticks in their order, and all else that is written."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            yield [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            yield [axis.label]
        yield from ([text] for text in (axes.title, axes._left_title, *axes.texts))
    yield from (list(legend.get_texts()) for legend in figure.legends)


def test_no_word_is_cut_off_and_no_tick_s_lies_on_the_next(everything):
    for plot in everything.plots:
        plot.figure.draw_without_rendering()
        (width, height), shown = plot.figure.bbox.size, 0
        for row in texts(plot.figure):
            boxes = [text.get_window_extent() for text in row if text.get_text() and text.get_visible()]
            shown += len(boxes)
            for box in boxes:
                assert -1 < box.x0 < box.x1 < width + 1, (plot.name, row)
                assert -1 < box.y0 < box.y1 < height + 1, (plot.name, row)
            assert not any(a.padded(1).overlaps(b) for a, b in itertools.pairwise(boxes)), (plot.name, row)
        assert shown > 5, plot.name


def test_one_run_of_one_epoch_is_drawn(make_record, make_plan, tmp_path):
    settings = dict(mpl.rcParams)
    assert [plot.name for plot in drawn(make_plan, [make_record(epochs=1)], tmp_path)] == ONE_RUN
    assert dict(mpl.rcParams) == settings  # drawing has left matplotlib's own as they were


def test_without_a_completed_run_nothing_is_drawn(make_plan, tmp_path):
    assert drawn(make_plan, [], tmp_path) == []
    assert list((tmp_path / "plots").glob("*")) == []


def test_below_eight_runs_each_is_drawn_with_their_mean_and_no_band(make_record):
    records = [make_record(seed=seed, epochs=3) for seed in range(7)]
    plot = accuracy_curves(records)
    curves = [[row.test_accuracy for row in record.epochs] for record in records]
    assert sorted(line.get_ydata().tolist() for line in lines(plot.figure, thick=False)) == sorted(curves)
    (mean,) = lines(plot.figure, thick=True)
    assert mean.get_xdata().tolist() == [1, 2, 3]
    assert mean.get_ydata() == pytest.approx(np.mean(curves, axis=0))
    assert bands(plot.figure) == []
    assert legend(plot.figure) == ["keras, mean of 7", "one run each"]


def test_from_eight_runs_on_there_is_the_simultaneous_band_and_the_quantiles_of_the_runs(make_record):
    records = [make_record(seed=seed, epochs=3) for seed in range(8)]
    plot = accuracy_curves(records)
    curves = np.array([[row.test_accuracy for row in record.epochs] for record in records])
    _, low, high = simultaneous_band(curves, 0.95, np.random.default_rng(SEED))
    (band,) = bands(plot.figure)
    corners = band.get_paths()[0].vertices
    for epoch in (1, 2, 3):
        at_epoch = corners[corners[:, 0] == epoch, 1]
        assert (at_epoch.min(), at_epoch.max()) == pytest.approx((low[epoch - 1], high[epoch - 1]))
    quantiles = [line.get_ydata() for line in lines(plot.figure, thick=False)]
    assert quantiles == [pytest.approx(np.quantile(curves, q, axis=0)) for q in QUANTILES.values()]
    assert legend(plot.figure) == ["keras, mean of 8", *BAND]
    assert "at every epoch at once" in plot.caption


def test_a_mean_reaches_as_far_as_the_shortest_run_and_runs_as_far_as_they_went(make_record):
    figure = accuracy_curves([make_record(seed=seed, epochs=epochs) for seed, epochs in enumerate((5, 3, 4))]).figure
    (mean,) = lines(figure, thick=True)
    assert mean.get_xdata().tolist() == [1, 2, 3]
    assert sorted(len(line.get_xdata()) for line in lines(figure, thick=False)) == [3, 4, 5]


def test_tracks_have_axes_of_their_own_so_that_bands_do_not_pile_up(make_record):
    records = [make_record(name, track=track) for name in ("keras", "torch") for track in ("matched", "native")]
    figure = accuracy_curves(records).figure
    assert [axes.get_title("left") for axes in figure.axes] == ["matched", "native"]
    assert legend(figure)[:2] == ["keras matched, mean of 1", "torch matched, mean of 1"]
    assert len(accuracy_curves(records[::2]).figure.axes) == 1


def test_a_framework_has_one_colour_everywhere(make_record):
    names = ("torch", "keras", "keras:mirrored:2", "keras#2")
    for order in (names, names[::-1]):
        table = epochs_table([make_record(name, track=track) for track in ("matched", "native") for name in order])
        for (contender, _), look in looks(table).items():
            assert look.colour == COLOURS[re.split("[:#]", contender)[0]]
        shown = {
            to_hex(line.get_color()) for line in lines(learning_curves(table, BY_NAME["test_loss"]).figure, thick=True)
        }
        assert shown == {colour.lower() for colour in COLOURS.values()}


def test_colours_differ_and_no_stage_has_a_framework_s():
    colours = [to_hex(colour) for colour in (*COLOURS.values(), *STAGES.values())]
    assert len(set(colours)) == len(colours)


def dashes(records):
    return {key: (look.dash, look.marker) for key, look in looks(epochs_table(records)).items()}


def test_a_track_has_one_dash_pattern(make_record):
    found = dashes([make_record(name, track=track) for name in ("keras", "torch") for track in ("matched", "native")])
    assert found["keras", "matched"] == found["torch", "matched"] != found["keras", "native"]
    assert found["keras", "native"] == found["torch", "native"]


def test_copies_have_a_dash_pattern_of_their_own(make_record):
    names = ("torch", "torch#2", "torch#3", "keras", "keras#2", "torch:ddp:2")
    found = {contender: dash for (contender, _), dash in dashes([make_record(name) for name in names]).items()}
    assert len({found[name] for name in ("torch", "torch#2", "torch#3", "torch:ddp:2")}) == 4
    assert (found["keras"], found["keras#2"]) == (found["torch"], found["torch#2"])
    assert found["torch"] == ("-", "o")


def test_a_track_keeps_its_dash_pattern_where_a_framework_has_no_run_on_the_other(make_record):
    found = dashes([make_record("keras"), make_record("keras", track="native"), make_record("torch", track="native")])
    assert found["keras", "native"] == found["torch", "native"]


def test_axes_are_labelled_epochs_whole_and_seconds_from_zero(make_record):
    table = epochs_table([make_record(epochs=3), make_record(seed=1, epochs=3)])
    for metric in CURVES:
        axes = learning_curves(table, metric).figure.axes[0]
        assert axes.get_ylabel() == metric.axis
        assert all(tick == int(tick) for tick in axes.get_xticks())
    assert axes.get_ylabel() == "training (seconds per epoch)"
    assert axes.get_ylim()[0] == 0


def test_the_split_clock_s_stages_add_up_to_the_mean_total(make_record):
    records = [make_record(name, seed) for name in ("keras", "torch") for seed in range(3)]
    axes = split_clock(records).figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    ends = dict.fromkeys(names, 0.0)
    for bar in axes.patches:
        name = names[round(bar.get_y() + bar.get_height() / 2)]
        assert bar.get_x() == pytest.approx(ends[name])  # no gap, no overlap
        ends[name] += bar.get_width()
    for name, of_it in (("keras\nmatched", records[:3]), ("torch\nmatched", records[3:])):
        total = np.mean([record.clock.total_seconds for record in of_it])
        assert ends[name] == pytest.approx(total)
        assert f" {total:.0f} s" in [text.get_text() for text in axes.texts]


def test_the_forest_has_every_comparison_in_its_unit_with_its_margin(make_record, make_plan):
    plan = make_plan()
    table = comparisons_table(
        made_inputs(plan, [make_record(name, seed) for name in ("keras", "torch") for seed in range(5)])
    )
    plot = forest(table, compared_metrics(plan))
    shown = plot.data.set_index("metric")
    told = table.set_index("metric")
    assert set(shown.index) == set(told.index)
    for end in ("difference", "ci95_low", "ci90_high"):
        assert shown.loc["test_accuracy", end] == pytest.approx(100 * told.loc["test_accuracy", end])
        assert shown.loc["train_seconds", end] == pytest.approx(100 * told.loc["train_seconds", end] - 100)
    panels = {axes.get_title("left"): axes for axes in plot.figure.axes}
    assert len(panels) == len(table) == 4
    for name, unit, pair in (("Test accuracy", "points", "torch - keras"), ("Training time", "%", "torch / keras")):
        assert panels[name].get_xlabel() == f"difference ({unit})"
        assert [label.get_text() for label in panels[name].get_yticklabels()] == [pair]
    dots = [line for line in panels["Training time"].get_lines() if line.get_marker() == "o" and len(line.get_xdata())]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([100 * told.loc["train_seconds", "difference"] - 100])
    of_accuracy, of_time = (panels[name].patches[0] for name in ("Test accuracy", "Training time"))
    assert (of_accuracy.get_x(), of_accuracy.get_x() + of_accuracy.get_width()) == pytest.approx((-0.5, 0.5))
    assert (of_time.get_x(), of_time.get_x() + of_time.get_width()) == pytest.approx((100 / 1.05 - 100, 5))
    assert shown.loc["train_seconds", ["margin_low", "margin_high"]].tolist() == pytest.approx([100 / 1.05 - 100, 5])
    assert shown.loc["test_accuracy", ["margin_low", "margin_high"]].tolist() == pytest.approx([-0.5, 0.5])


def test_the_forest_says_in_words_what_its_numbers_are(make_record, make_plan):
    seconds = {"keras": 30.0, "torch": 33.03}
    records = [make_record(name, s, train_seconds=seconds[name] + 0.1 * s) for name in seconds for s in range(5)]
    plan = make_plan(time_margin=1.25)
    table = comparisons_table(made_inputs(plan, records))
    alt = forest(table, compared_metrics(plan)).alt
    row = table.set_index("metric").loc["train_seconds"]
    middle, low, high = (f"{100 * row[name] - 100:+.1f}" for name in ("difference", "ci95_low", "ci95_high"))
    told = f"matched, torch / keras: {middle} %, 95 % interval [{low}, {high}], margin [-20, +25]"
    assert re.findall(r"Training time, (.+?); ", alt) == [told]
    alone = forest(comparisons_table(made_inputs(plan, records[::5])), compared_metrics(plan)).alt
    assert "torch / keras: +10.1 %, margin" in alone


def test_what_reaches_to_infinity_is_not_in_the_forest(make_record, make_plan):
    seconds = {"keras": (1.0, 1.0), "torch": (1e-150, 1e150)}
    records = [make_record(name, seed, train_seconds=seconds[name][seed]) for name in seconds for seed in (0, 1)]
    plan = make_plan()
    table = comparisons_table(made_inputs(plan, records))
    assert table.set_index("metric").loc["train_seconds", "ci95_high"] == np.inf
    shown = set(forest(table, compared_metrics(plan)).data["metric"])
    assert {"test_accuracy", "test_loss"} <= shown
    assert "train_seconds" not in shown


def test_nothing_compared_has_no_forest(make_record, make_plan):
    plan = make_plan(contenders=("keras",))
    assert forest(comparisons_table(made_inputs(plan, [make_record()])), compared_metrics(plan)) is None


def test_a_seed_s_runs_are_joined_and_a_seed_that_lacks_one_is_left_out(make_record, make_plan):
    records = [make_record(name, seed) for name in ("keras", "torch") for seed in range(4)][:-1]
    (plot,) = pairs(make_plan(), records)
    (axes,) = plot.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]
    ends = [sorted(segment[:, 0]) for segment in axes.collections[0].get_segments()]
    values = [[records[seed + side].epochs[-1].test_accuracy for side in (0, 4)] for seed in range(3)]
    assert ends == [pytest.approx(sorted(pair)) for pair in values]


def test_native_runs_and_a_contender_alone_have_no_pairs(make_record, make_plan):
    native = [make_record(name, seed, "native") for name in ("keras", "torch") for seed in range(2)]
    assert pairs(make_plan(tracks=("native",)), native) == []
    assert pairs(make_plan(contenders=("keras",)), [make_record()]) == []
    assert pairs(make_plan(), [make_record()]) == []


def test_contenders_that_comparisons_do_not_pair_are_in_no_pairs_plot(make_record, make_plan):
    names = ("keras", "torch", "keras#2")
    records = [make_record(name, seed) for name in names for seed in range(5)]
    (plot,) = pairs(make_plan(contenders=names), records, unmatched=("torch",))
    assert set(plot.data["contender"]) == {"keras", "keras#2"}
    assert pairs(make_plan(), records, unmatched=("torch",)) == []


def test_batches_of_each_size_pair_among_themselves(make_record, make_plan):
    names = ("torch", "torch:ddp:2", "torch#2", "torch:ddp:2#2", "keras:mirrored:4")
    records = [make_record(name, seed) for name in names for seed in range(5)]
    plots = pairs(make_plan(contenders=names, scaling="weak"), records)
    assert [plot.name for plot in plots] == ["pairs_test_accuracy", "pairs_test_accuracy_2"]
    assert [set(plot.data["contender"]) for plot in plots] == [
        {"torch", "torch#2"},
        {"torch:ddp:2", "torch:ddp:2#2"},
    ]


@pytest.mark.parametrize("seeds", [3, SEEDS_AS_DOTS + 1])
def test_a_seed_that_one_of_three_lacks_is_still_a_pair_of_the_others(make_record, make_plan, seeds):
    names = ("keras", "torch", "torch#2")
    records = [make_record(name, seed) for seed in range(seeds) for name in names][1:]  # keras has no seed 0
    (plot,) = pairs(make_plan(contenders=names, seeds=range(seeds)), records)
    if seeds > SEEDS_AS_DOTS:
        assert plot.data.groupby("b")["pairs"].sum().to_dict() == {"torch": seeds - 1, "torch#2": seeds - 1}
        return
    (axes,) = plot.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]
    values = plot.data.groupby("seed")["test_accuracy"].agg(["min", "max"])
    segments = axes.collections[0].get_segments()
    assert [sorted(segment[:, 0]) for segment in segments] == [
        pytest.approx(ends) for ends in values.to_numpy().tolist()
    ]
    assert plot.data["seed"].value_counts().to_dict() == {0: 2, 1: 3, 2: 3}


def test_many_pairs_become_a_histogram_of_all_their_differences(make_record, make_plan):
    seeds = range(SEEDS_AS_DOTS + 1)
    records = [make_record(name, seed) for name in ("keras", "torch") for seed in seeds]
    (plot,) = pairs(make_plan(seeds=seeds), records, "train_seconds")
    assert plot.data["pairs"].sum() == len(seeds)
    assert plot.figure.axes[0].get_xlabel() == "difference within a seed (%)"
    assert "drawn as a histogram" in plot.caption
    by_seed = runs_table(records).pivot_table(index="seed", columns="contender", values="train_seconds")
    ratios = 100 * by_seed["torch"] / by_seed["keras"] - 100
    assert (plot.data["from"].min(), plot.data["to"].max()) == pytest.approx((ratios.min(), ratios.max()))
    assert legend(plot.figure) == ["torch / keras"]


def test_a_histogram_of_accuracies_takes_the_reference_from_the_other(make_record, make_plan):
    seeds = range(SEEDS_AS_DOTS + 1)
    given = {"keras": 0.9, "torch": 0.91}
    records = [
        make_record(name, s, test_accuracy=given[name] + 0.0001 * s * (name == "torch"))
        for name in given
        for s in seeds
    ]
    (plot,) = pairs(make_plan(seeds=seeds), records)
    assert (plot.data["from"].min(), plot.data["to"].max()) == pytest.approx((1.0, 1.4))
    assert plot.figure.axes[0].get_xlabel() == "difference within a seed (points)"
    assert legend(plot.figure) == ["torch - keras"]


def test_a_distribution_has_every_run_while_they_are_few_and_quantiles_once_they_carry(make_record):
    records = [make_record(seed=seed) for seed in range(RUNS_AS_DOTS + 1)]
    values = [record.epochs[-1].test_accuracy for record in records]
    for n, kinds in ((7, {"run": 7}), (8, {"run": 8, "quantile": 5}), (RUNS_AS_DOTS + 1, {"quantile": 5})):
        data = distribution(runs_table(records[:n]), BY_NAME["test_accuracy"]).data
        assert data["what"].str.partition(" ")[0].value_counts().to_dict() == kinds
        if "quantile" in kinds:
            median = data.loc[data["what"] == "quantile 0.5", "value"]
            assert median.tolist() == [pytest.approx(np.median(values[:n]))]


def test_every_plot_says_in_words_what_is_to_be_seen(everything):
    for plot in everything.plots:
        assert len(plot.alt) > 40
        assert re.search(r"\d", plot.alt), plot.name
        assert not re.search(r"\bnan\b|\binf\b", plot.alt)
    assert len({plot.alt for plot in everything.plots}) == len(everything.plots)
