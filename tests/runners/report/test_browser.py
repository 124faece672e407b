"""The page in a real browser."""

import itertools
import re

import numpy as np
import pytest
from PIL import Image

from tests.runners.report.browser import CHROMIUM, DESK, PHONE, browser

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian's package chromium)"),
]

PAPER = (717, 1000)  # A4 less the browser's margins of 1 cm, at 96 pixels an inch
COLUMN = """(() => {
  const table = [...document.querySelectorAll("table")].find(t => t.caption.textContent.startsWith("Every run"));
  const headings = [...table.tHead.rows[0].cells], place = headings.findIndex(h => h.textContent === "%s");
  %s
  const texts = [...table.tBodies[0].rows].map(row => row.cells[place].textContent);
  return [headings[place].getAttribute("aria-sort"), texts];
})()"""
CLICK = 'headings[place].querySelector("button").click();'
# The contrast of each text with the first opaque background behind it (WCAG 2.2, 1.4.3).
CONTRASTS = """(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => numbers(colour).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor, parts = numbers(colour);
      if (parts.length < 4 || parts[3] === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("main *")]
    .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()))
    .filter(node => node.offsetParent)
    .map(node => {
      const [a, b] = [getComputedStyle(node).color, behind(node)].map(luminance);
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.tagName, node.textContent.slice(0, 40)];
    });
})()"""

# Words of letters alone that go over more than one line: a range of their text has several boxes.
SPLIT = """[...document.querySelectorAll("table:not(.words) th, table:not(.words) td")].flatMap(cell => {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
  for (let node; node = texts.nextNode();)
    for (const word of node.textContent.matchAll(/[a-z]+/gi)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (range.getClientRects().length > 1) found.push(word[0]);
    }
  return found;
})"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def opened(tab, everything):
    tab.open(everything.page)
    return tab


def column(tab, heading, do=""):
    return tab.run(COLUMN % (heading, do))


def a_plot(tab, folder):
    """The pixels of one, (pixels, 3), as the page shows it."""
    tab.run('document.documentElement.style.scrollBehavior = "auto"; document.images[1].scrollIntoView()')
    place = tab.run(
        "(({x, y, width, height}) => [x, y, x + width, y + height])(document.images[1].getBoundingClientRect())"
    )
    tab.screenshot(folder / "page.png")
    with Image.open(folder / "page.png") as image:
        return np.asarray(image.convert("RGB").crop([round(edge) for edge in place])).reshape(-1, 3)


def complaints(tab):
    tab.run("1")  # whatever was to be said has been said before this answer
    said = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
    return [event for event in tab.events if event.get("method") in said]


def test_the_console_stays_silent_and_nothing_is_fetched(opened, everything):
    assert column(opened, "test loss", CLICK)[0] == "ascending"
    assert complaints(opened) == []
    asked = [e["params"]["request"]["url"] for e in opened.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [everything.page.as_uri()]


def test_the_console_would_be_heard(opened):
    opened.run('console.error("so it is")')
    assert len(complaints(opened)) == 1


def test_a_click_sorts_numbers_as_numbers_another_the_other_way_and_what_is_absent_comes_last(opened):
    _, before = column(opened, "training s")
    (up, rising), (down, falling) = (column(opened, "training s", CLICK) for _ in range(2))
    numbers = sorted(float(text) for text in before if text != "-")
    assert before.count("-") == 2
    assert (up, [*map(float, rising[:-2])], rising[-2:]) == ("ascending", numbers, ["-", "-"])
    assert (down, [*map(float, falling[:-2])], falling[-2:]) == ("descending", numbers[::-1], ["-", "-"])


def test_numbers_of_unequal_length_are_not_sorted_as_words(opened):
    texts = ["9.5", "10.5", "-", "1,000", "[2, 3]"]
    set_texts = f"const given = {texts}; [...table.tBodies[0].rows].forEach((row, i) => i < given.length"
    set_texts += " ? row.cells[place].textContent = given[i] : row.remove());"
    assert column(opened, "test loss", set_texts + CLICK)[1] == ["[2, 3]", "9.5", "10.5", "1,000", "-"]


def test_words_are_sorted_too_and_only_one_heading_says_so(opened):
    column(opened, "training s", CLICK)
    state, statuses = column(opened, "status", CLICK)
    assert (state, statuses) == ("ascending", sorted(statuses))
    assert column(opened, "training s")[0] is None


def test_sorting_takes_no_mouse(opened):
    buttons = opened.run('[...document.querySelectorAll("th button")].filter(b => b.tabIndex === 0).length')
    assert buttons == opened.run('document.querySelectorAll("table.sortable thead th").length') > 30


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_nothing_scrolls_sideways_but_tables_in_their_own_frame(tab, everything, size):
    tab.open(everything.page, size)
    assert tab.run("document.documentElement.scrollWidth") <= size[0]
    wide = tab.run(
        """[...document.querySelectorAll("main *")].filter(node => !node.closest(".scroll")
        && node.getBoundingClientRect().right > innerWidth + 1).map(node => node.tagName)"""
    )
    assert wide == []


def test_every_image_is_decoded_and_has_words(opened, everything):
    images = opened.run(
        """Promise.all([...document.images].map(i => i.decode().then(() => [i.naturalWidth, i.alt.length])))"""
    )
    assert len(images) == len(everything.plots)
    assert all(width > 300 and words > 40 for width, words in images)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_enough(tab, everything, scheme):
    tab.open(everything.page, scheme=scheme)
    contrasts = tab.run(CONTRASTS)
    assert len(contrasts) > 200
    assert [found for found in contrasts if found[0] < 4.5] == []


@pytest.mark.parametrize(("scheme", "paper"), [("light", (253, 253, 252)), ("dark", (20, 23, 28))])
def test_plots_are_on_the_page_s_paper_and_their_ink_stands_out(tab, everything, tmp_path, scheme, paper):
    tab.open(everything.page, scheme=scheme)
    pixels = a_plot(tab, tmp_path)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    assert tuple(colours[counts.argmax()]) == paper
    brightness = pixels.mean(axis=1)
    ink = brightness > 200 if scheme == "dark" else brightness < 50
    assert 0.001 < ink.mean() < 0.2


def test_headings_begin_at_one_and_leave_none_out(opened):
    levels = opened.run('[...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map(h => +h.tagName[1])')
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_entry_of_the_contents_leads_somewhere(opened):
    assert opened.run(
        '[...document.querySelectorAll("nav a")].every(a => document.querySelector(a.getAttribute("href")))'
    )
    assert opened.run('document.querySelectorAll("nav a").length') > 10


def test_the_page_prints_on_pages_and_nothing_is_cut_off_at_their_edge(tab, everything, tmp_path):
    tab.open(everything.page, PAPER)
    tab.print(tmp_path / "page.pdf")
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 40
    tab.send("Emulation.setEmulatedMedia", media="print")
    cut = tab.run(
        """[...document.querySelectorAll("main *")].filter(node => node.getBoundingClientRect().right > innerWidth + 1
        || node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== "inline")
        .map(node => [node.tagName, node.textContent.slice(0, 40)])"""
    )
    split = tab.run(SPLIT)
    tab.send("Emulation.setEmulatedMedia", media="")
    assert (cut, split) == ([], [])


def test_on_paper_plots_have_the_ink_of_light_pages_whatever_the_screen(tab, everything, tmp_path):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.open(everything.page, PAPER, scheme="dark")
    tab.send("Emulation.setEmulatedMedia", media="print", features=dark)
    brightness = a_plot(tab, tmp_path).mean(axis=1)
    tab.send("Emulation.setEmulatedMedia", media="")
    assert 0.001 < (brightness < 50).mean() < 0.2
