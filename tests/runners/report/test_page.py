import base64
import html
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from runners.core.spec import Contender, Settings
from runners.parity import divergence
from runners.parity.divergence import Trace
from runners.report import wording
from runners.report.build import assemble, build
from runners.report.output.html import render
from runners.report.sections.about import reproduce_section
from tests.runners.report.conftest import make_stub_study

VOID = {"meta", "img", "br"}
TRACEBACK = "Traceback (most recent call last):"


class Page(HTMLParser):
    """A page taken apart: its tags with their attributes, its text, and whether every tag is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def source(everything):
    return everything.page.read_text()


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_the_page_is_whole_html_that_says_its_language(page, source):
    assert page.open == []
    assert source.startswith("<!doctype html>")
    assert page.of("html") == [{"lang": "en"}]
    assert "<title>Level Field: keras against torch</title>" in source


def test_the_page_needs_nothing_but_itself(page, source):
    for name in ("src", "href", "srcset", "data", "action", "poster"):
        links = [attributes[name] for _, attributes in page.tags if name in attributes]
        assert all(link.startswith(("data:", "#")) for link in links)
    assert "url(" not in source
    assert "fetch(" not in source
    assert "@import" not in source
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}


def test_the_page_is_small_enough_to_mail_however_many_contenders_and_seeds(tmp_path):
    folder = make_stub_study(tmp_path, ("keras", "torch", "torch:ddp:2"), range(100), epochs=13)
    assert 100_000 < build(folder).page.stat().st_size < 5_000_000


def test_every_plot_is_embedded_and_described(everything, page):
    images = page.of("img")
    embedded = [base64.b64decode(image["src"].removeprefix("data:image/svg+xml;base64,")) for image in images]
    files = [everything.folder / "plots" / f"{plot.name}.svg" for plot in everything.plots]
    assert sorted(embedded) == sorted(path.read_bytes() for path in files)
    assert len({image["alt"] for image in images}) == len(everything.plots)
    assert all(len(image["alt"]) > 20 for image in images)


def test_an_error_message_cannot_bring_code_into_the_page(source):
    assert source.count("<script") == 1  # the page's own
    assert html.escape("<script>alert('out of luck')</script>") in source.replace("&#39;", "&#x27;")


@pytest.mark.parametrize("status", ["failed", "diverged", "oom"])
def test_each_run_that_did_not_complete_is_listed_with_its_error(everything, page, status):
    (record,) = [record for record in everything.unsuccessful if record.status == status]
    heading = f"{record.run_id}: {status} after 1 attempt, seed {record.spec.seed}"
    assert f"{heading} {' '.join(record.error.split())}" in page.text


def test_a_traceback_keeps_its_lines(source):
    assert f"<pre>{TRACEBACK}\n  File &#34;train.py&#34;, line 7, in step\n" in source


def rebuild_command(report):
    return shlex.split(
        html.unescape(re.search("<h3>This page</h3>\n<pre>(.*)</pre>", render(report, pictures=False)).group(1))
    )


def test_the_command_that_makes_this_page_again_leads_from_the_project_to_its_folder(everything, monkeypatch):
    assert rebuild_command(everything) == ["python", "scripts/report.py", str(everything.folder)]
    monkeypatch.setattr(wording, "PROJECT", Path("/a project"))
    inside = reproduce_section(replace(everything.inputs, folder=Path("/a project/results/a & b")))
    assert shlex.split(dict(inside.texts)["This page"]) == ["python", "scripts/report.py", "results/a & b"]


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ("init", "initial weights only ; all had the batch order of seed 0."),
        ("order", "batch order only ; all had the initial weights of seed 0."),
    ],
)
def test_what_was_held_fixed_is_described_and_nothing_is_said_to_be_over_seeds(study_folder, vary, told):
    text = Page(render(assemble(study_folder(vary=vary)), pictures=False)).text
    assert f"Between the runs of a contender, what varied was {told}" in text
    assert "with Adam at 0.001, in 5 runs each, on CPUs" in text
    assert "over 5 seeds" not in text


def test_how_sure_a_mean_is_and_how_often_one_run_misleads_is_shown_with_the_plots_of_variance(everything, source):
    section = source[source.index('<h2 id="variance">') : source.index('<h2 id="defaults">')]
    (shown,) = [section for section in everything.sections if section.anchor == "variance"]
    for table in shown.tables:
        assert len(table.rows) >= 2
        for row in table.rows:
            found = "".join(f"<t[dh][^>]*>{re.escape(cell)}</t[dh]>\\s*" for cell in row)
            assert re.search(found, section), row
    shown = [plot for plot in everything.plots if f'alt="{plot.alt}"' in html.unescape(section)]
    assert [plot.name for plot in shown] == ["variance", "variance_half_width"]


def test_one_contender_alone_has_no_wrong_winner(study_folder):
    assert "wrong winner" not in render(assemble(study_folder(("keras",), [0, 1])), pictures=False)


def test_page_and_plot_say_by_whose_norm_distances_are_divided(study_folder):
    folder, one_step = study_folder(seeds=[0]), Settings(limit_train=128)
    walked = divergence.walks(map(Contender.model_validate, ("keras", "torch")), one_step)
    sizes = dict(zip((walk.name for walk in walked), (3.0, 3.0, 1.0, 1.0), strict=True))  # the second's is the smaller
    traces = [
        Trace(name, {dtype: np.full((1, 4), size) for dtype in divergence.DTYPES}) for name, size in sizes.items()
    ]
    found = divergence.divergence(walked, traces)
    assert found.lines[0].distances == ((3 - 1) / 1,)
    divergence.write(folder, found)
    text = Page(render(build(folder))).text
    assert "the norm of the difference of all weights, divided by the norm of the second training's weights." in text
    assert "after each step, divided by the norm of the second's." in text
    assert "larger norm" not in text


def test_numbers_that_are_not_there_are_dashes_and_never_nan(page):
    assert "torch-matched-seed3 failed 1 - - - - - - -" in page.text
    assert re.search(r"\b(nan|none)\b", page.text.replace("none used", ""), re.IGNORECASE) is None
