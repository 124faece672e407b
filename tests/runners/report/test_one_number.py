"""One difference is one number with one sign, wherever it is read: the contender named first is the reference."""

import html
import json
import math
import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from runners.report.build import build
from runners.report.output.json import to_json
from runners.report.output.terminal import show
from tests.runners.report.conftest import ACCURACIES, make_stub_study

SHAPE = np.array([-1.0, 1.0, -0.5, 0.5, 0.0])
LONGER = math.log(1.101) + 0.01 * SHAPE  # torch takes 10.1 % longer than keras: of torch's time keras saves 9.2 %
AHEAD = 0.0015 + 0.002 * SHAPE  # and is 0.15 points more accurate
PLACES = ("comparisons.csv", "comparisons.parquet", "JSON", "differences.csv")


def runs():
    """What each run is to say, by its id."""
    given = {}
    for seed, accuracy in enumerate(ACCURACIES):
        same = {"test_loss": 0.3, "total_seconds": 60.0}
        given[f"keras-matched-seed{seed}"] = {"test_accuracy": accuracy, "train_seconds": 30.0, **same}
        seconds = 30.0 * math.exp(LONGER[seed])
        given[f"torch-matched-seed{seed}"] = {
            "test_accuracy": accuracy + AHEAD[seed],
            "train_seconds": seconds,
            **same,
        }
    return given


@pytest.fixture(scope="module", params=[("keras", "torch"), ("torch", "keras")], ids=" ".join)
def report(request, tmp_path_factory):
    return build(make_stub_study(tmp_path_factory.mktemp("study"), request.param, changed=runs()))


def expected(report, metric):
    """Signed text with its unit, the phrase, and the exact number of the second contender against the first."""
    reference, other = map(str, report.inputs.study.plan.contenders)
    sign = 1 if other == "torch" else -1
    if metric == "test_accuracy":
        word = "higher" if sign > 0 else "lower"
        number = 100 * sign * AHEAD.mean()
        return f"{number:+.2f} points", f"{other} is 0.15 points {word} than {reference}", number
    number = 100 * math.expm1(sign * LONGER.mean())
    told = "takes 10.1 % longer than" if sign > 0 else "takes 9.2 % less time than"
    return f"{number:+.1f} %", f"{other} {told} {reference}", number


def in_reader_s_units(metric, difference):
    return 100 * difference if metric == "test_accuracy" else 100 * difference - 100


def numbers(report, place):
    """The difference of each metric, with its 95 % interval, as a file of the report has it, in a reader's units."""
    names, tables = ["difference", "ci95_low", "ci95_high"], report.folder / "tables"
    if place == "differences.csv":
        return pd.read_csv(report.folder / "plots" / place).set_index("metric")[names]
    if place == "JSON":
        table = pd.DataFrame(json.loads(to_json(report))["comparisons"])
    else:
        table = pd.read_csv(tables / place) if place.endswith("csv") else pd.read_parquet(tables / place)
    table = table.set_index("metric")[names]
    return pd.DataFrame({name: in_reader_s_units(name, row) for name, row in table.iterrows()}).T


def texts(report):
    """What page, Markdown and screen say, without mark-up and pictures."""
    screen = Console(file=StringIO(), width=400)
    show(report, screen)
    page = re.sub(r"data:image/svg[^\"]+", "", report.page.read_text())
    return {
        "page": html.unescape(re.sub(r"<(style|script)>.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)),
        "report.md": (report.folder / "report.md").read_text().replace("\\", ""),
        "screen": screen.file.getvalue(),
    }


@pytest.mark.parametrize("metric", ["test_accuracy", "train_seconds"])
@pytest.mark.parametrize("place", PLACES)
def test_every_file_has_the_same_number_with_the_same_sign(report, place, metric):
    _, _, number = expected(report, metric)
    low, high = (numbers(report, place).loc[metric, end] for end in ("ci95_low", "ci95_high"))
    assert numbers(report, place).loc[metric, "difference"] == pytest.approx(number, rel=1e-9)
    assert low < number < high
    assert list(numbers(report, place).index) == ["test_accuracy", "test_loss", "train_seconds", "total_seconds"]


@pytest.mark.parametrize("metric", ["test_accuracy", "train_seconds"])
def test_page_markdown_and_screen_say_that_number_too(report, metric):
    cell, phrase, _ = expected(report, metric)
    _, low, high = numbers(report, "differences.csv").loc[metric]
    digits = 2 if metric == "test_accuracy" else 1
    interval = f"[{low:+.{digits}f}, {high:+.{digits}f}]"
    for place, text in texts(report).items():
        assert f"{cell} {interval}" in text, place
        assert place == "screen" or phrase in text, place
    (plot,) = [plot for plot in report.plots if plot.name == "differences"]
    assert f": {cell}, 95 % interval {interval}, margin" in plot.alt


def test_the_other_way_round_is_said_nowhere(report):
    turned = ("9.2 %", "-9.2", "[-10.") if expected(report, "train_seconds")[2] > 0 else ("10.1 %", "+10.1", "[+8.")
    for place, text in texts(report).items():
        about_runs = text.index("Every run") if "Every run" in text else len(text)
        assert not [words for words in turned if words in text[:about_runs]], place


def test_images_per_second_are_a_column_and_no_comparison(report):
    assert "images_per_second" in report.inputs.runs
    assert "images_per_second_mean" in report.tables["summary"]
    assert "images per second" in texts(report)["page"]
    for table in (
        report.comparisons["metric"],
        report.tables["defaults"]["metric"],
        numbers(report, "differences.csv").index,
    ):
        assert "images_per_second" not in list(table)
    for text in texts(report).values():
        assert "Images per second" not in text
