from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats

from runners.report import plots
from runners.report.plots import COLOURS, CURVES, STAGES, draw_all, learning_curves, split_clock
from runners.report.tables import clocks_table, epochs_table

NAMES = ["train_loss", "test_loss", "test_accuracy", "seconds_per_epoch", "split_clock"]
BAND = "pointwise 95 % t interval of the mean"


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(figure, *, thick):
    """The runs, or with `thick` their means; what has no points is only there for the legend."""
    drawn = [line for line in figure.axes[0].get_lines() if len(line.get_xdata())]
    return [line for line in drawn if (line.get_linewidth() > 1) == thick]


def bands(figure):
    found = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    return [band for band in found if len(band.get_paths()) and len(band.get_paths()[0].vertices) > 3]


def accuracy_curves(records):
    return learning_curves(epochs_table(records), "test_accuracy", "test accuracy")


def test_every_plot_is_there_as_png_and_as_svg(everything):
    assert [path.stem for path in everything.plots] == NAMES
    files = sorted(path.name for path in (everything.folder / "plots").iterdir())
    assert files == sorted(f"{name}.{ending}" for name in NAMES for ending in ("png", "svg"))


@pytest.mark.parametrize("name", NAMES)
def test_a_png_opens_and_is_800_pixels_wide(everything, name):
    with Image.open(everything.folder / "plots" / f"{name}.png") as image:
        image.load()
        assert image.size[0] == 800
        assert len(image.convert("RGB").getcolors(2**20)) > 20  # something is drawn


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_is_one_and_refers_to_nothing_outside_it(everything, name):
    root = ElementTree.parse(everything.folder / "plots" / f"{name}.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = [value for node in root.iter() for key, value in node.attrib.items() if key.endswith("href")]
    assert links
    assert all(link.startswith("#") for link in links)


def test_one_run_of_one_epoch_is_drawn(make_record, tmp_path):
    records, settings = [make_record(epochs=1)], dict(mpl.rcParams)
    drawn = draw_all(epochs_table(records), clocks_table(records), tmp_path / "plots")
    assert [path.name for path in drawn] == [f"{name}.png" for name in NAMES]
    assert all(path.with_suffix(".svg").stat().st_size > 1000 for path in drawn)
    assert dict(mpl.rcParams) == settings  # drawing has left matplotlib's own as they were


def test_without_a_completed_run_nothing_is_drawn(tmp_path):
    assert draw_all(epochs_table([]), clocks_table([]), tmp_path / "plots") == []
    assert list((tmp_path / "plots").iterdir()) == []


def test_the_legend_says_what_the_band_is_and_of_how_many_runs_the_mean(make_record):
    records = [make_record(name, seed) for name in ("keras", "torch") for seed in range(3)]
    figure = accuracy_curves(records[:-1])
    assert legend(figure) == ["keras, mean of 3", "torch, mean of 2", BAND, "one run each"]
    assert len(bands(figure)) == 2


def test_one_run_has_no_band_and_the_legend_speaks_of_none(make_record):
    figure = accuracy_curves([make_record("keras"), make_record("torch")])
    assert legend(figure) == ["keras, mean of 1", "torch, mean of 1", "one run each"]
    assert bands(figure) == []


def test_every_run_is_drawn_thin_and_the_mean_thick(make_record):
    records = [make_record(seed=seed, epochs=3) for seed in range(4)]
    figure = accuracy_curves(records)
    curves = [[row.test_accuracy for row in record.epochs] for record in records]
    assert sorted(line.get_ydata().tolist() for line in lines(figure, thick=False)) == sorted(curves)
    (mean,) = lines(figure, thick=True)
    assert mean.get_xdata().tolist() == [1, 2, 3]
    assert mean.get_ydata() == pytest.approx(np.mean(curves, axis=0))


def test_the_band_is_the_t_interval_of_each_epoch(make_record):
    records = [make_record(seed=seed, epochs=3) for seed in range(4)]
    (band,) = bands(accuracy_curves(records))
    corners = band.get_paths()[0].vertices
    for epoch in (1, 2, 3):
        values = [record.epochs[epoch - 1].test_accuracy for record in records]
        low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
        at_epoch = corners[corners[:, 0] == epoch, 1]
        assert (at_epoch.min(), at_epoch.max()) == pytest.approx((low, high))


def test_mean_and_band_reach_as_far_as_the_shortest_run(make_record):
    figure = accuracy_curves([make_record(seed=seed, epochs=epochs) for seed, epochs in enumerate((5, 3, 4))])
    (mean,), (band,) = lines(figure, thick=True), bands(figure)
    assert mean.get_xdata().tolist() == [1, 2, 3]
    assert band.get_paths()[0].vertices[:, 0].max() == 3
    longest = lines(figure, thick=False)[0].get_xdata()[-1]
    assert longest == 5


def test_a_framework_has_one_colour_everywhere(make_record):
    names = ("torch", "keras", "keras:mirrored:2", "keras#2")
    for order in (names, names[::-1]):
        figure = accuracy_curves([make_record(name, track=track) for track in ("matched", "native") for name in order])
        for line, text in zip(lines(figure, thick=True), legend(figure), strict=False):
            assert line.get_color() == COLOURS[text.split()[0].split(":")[0].split("#")[0]]


def test_colours_differ(make_record):
    assert len({to_hex(colour) for colour in COLOURS.values()}) == len(COLOURS)
    assert len(STAGES) == len(plots.STAGE_COLOURS) == len(set(plots.STAGE_COLOURS))


def dashes(records):
    figure = accuracy_curves(records)
    labels = [tuple(text.removesuffix(", mean of 1").split()) for text in legend(figure)[: len(records)]]
    return dict(zip(labels, [line.get_linestyle() for line in lines(figure, thick=True)], strict=True))


def test_a_track_has_one_dash_pattern(make_record):
    drawn = dashes([make_record(name, track=track) for name in ("keras", "torch") for track in ("matched", "native")])
    assert drawn["keras", "matched"] == drawn["torch", "matched"] != drawn["keras", "native"]
    assert drawn["keras", "native"] == drawn["torch", "native"]


def test_copies_have_their_framework_s_colour_and_a_dash_pattern_of_their_own(make_record):
    names = ("torch", "torch#2", "torch#3", "keras", "keras#2", "torch:ddp:2")
    drawn = dashes([make_record(name) for name in names])
    assert len({drawn[name,] for name in ("torch", "torch#2", "torch#3", "torch:ddp:2")}) == 4
    assert (drawn["keras",], drawn["keras#2",]) == (drawn["torch",], drawn["torch#2",])
    assert drawn["torch",] == "-"


def test_a_track_keeps_its_dash_pattern_where_a_framework_has_no_run_on_the_other(make_record):
    drawn = dashes([make_record("keras"), make_record("keras", track="native"), make_record("torch", track="native")])
    assert drawn["keras", "native"] == drawn["torch", "native"]


def test_tracks_are_named_only_where_there_are_two(make_record):
    assert legend(accuracy_curves([make_record(track="native")]))[0] == "keras, mean of 1"
    both = legend(accuracy_curves([make_record(), make_record(track="native")]))
    assert both[:2] == ["keras matched, mean of 1", "keras native, mean of 1"]


def test_axes_are_labelled_epochs_whole_and_seconds_from_zero(make_record):
    table = epochs_table([make_record(epochs=3), make_record(seed=1, epochs=3)])
    for column, label in CURVES.items():
        axes = learning_curves(table, column, label).axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", label)
        assert all(tick == int(tick) for tick in axes.get_xticks())
    assert axes.get_ylabel() == "training seconds per epoch"
    assert axes.get_ylim()[0] == 0


def test_the_split_clock_s_stages_add_up_to_the_mean_total(make_record):
    records = [make_record(name, seed) for name in ("keras", "torch") for seed in range(3)]
    axes = split_clock(clocks_table(records)).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    ends = dict.fromkeys(names, 0.0)
    for bar in axes.patches:
        name = names[round(bar.get_y() + bar.get_height() / 2)]
        assert bar.get_x() == pytest.approx(ends[name])  # no gap, no overlap
        ends[name] += bar.get_width()
    for name, of_it in (("keras, matched", records[:3]), ("torch, matched", records[3:])):
        total = np.mean([record.clock.total_seconds for record in of_it])
        assert ends[name] == pytest.approx(total)
        assert f" {total:.0f} s" in [text.get_text() for text in axes.texts]
