"""What an error, a node or a file's name says is shown as it is: no mark-up in report.md, no command to a terminal."""

import re
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from runners.core import store
from runners.core.events import Retried, Started
from runners.core.record import RunResult
from runners.core.study import run_specs
from runners.core.text import printable
from runners.report.build import assemble
from runners.report.columns import Table
from runners.report.output import markdown
from runners.report.output.terminal import show
from runners.report.section import Section
from scripts.progress import Progress

STEERS = "\x1b[2J\r\x07\x9b\x7f\u202egnp\u2066\u2028\udce9"
MARKED = (
    "[a](https://evil.example) ![b](https://evil.example/p.png) <https://evil.example> <img src=x> **bold** _soft_"
    " ~~gone~~ `code` | $x$ &lt; www.evil.example me@evil.example @octocat [/red] \\"
)
BARE_LINK = re.compile(r"(?i)(?:https?|ftp)://|www\.|@\w")  # which GitHub makes of what stands so in the file
NAME = re.sub(r"[/\0]", "", f"[red]{MARKED}{STEERS}")[:200]
GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def steering(text):
    return re.findall(r"[^\n\t -~\xa0-\u2027\u2030-\u2065\u2070-\ud7ff\ue000-\U0010ffff]", text)


def inline(text):
    """The tokens of lines as GitHub reads them; the comments that break up addresses are no token."""
    found = [child for token in GITHUB.parse(text) for child in token.children or []]
    return [token for token in found if (token.type, token.content) != ("html_inline", "<!-- -->")]


def kinds(text):
    return {token.type for token in inline(text)} | {token.type for token in GITHUB.parse(text)}


def words(text):
    return "".join(token.content for token in inline(text))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, make_record, make_study_folder):
    """The report of a study whose records and files say what they like."""
    folder = make_study_folder(tmp_path_factory.mktemp("study"), seeds=range(2))
    failed = make_record(seed=0, status="failed", error=f"{MARKED}\n````\n# no fence")
    whole = make_record(seed=1)
    seen = whole.environment.model_copy(update={"node": MARKED, "cpu_model": MARKED + "\x1b[2J\u202e"})
    for record in (failed, whole.model_copy(update={"environment": seen, "node": MARKED})):
        store.save_result(folder, RunResult(record))
    (folder / "runs" / f"{NAME}.json").write_text("no record")
    return assemble(folder)


def test_nothing_in_the_markdown_is_live(hostile):
    text = markdown.render(hostile)
    assert MARKED in text  # in its fence, as it is
    assert kinds(text) & {"link_open", "html_inline", "html_block", "em_open", "s_open"} == set()
    images = [token.attrs["src"] for token in inline(text) if token.type == "image"]
    assert all(re.fullmatch(r"plots/\w+\.png", image) for image in images)
    assert "lheading" not in kinds(text)
    outside = "".join(re.split(r"(?ms)^(`{3,})\n.*?^\1\n", text)[::2])
    assert "octocat" in outside
    assert not BARE_LINK.search(outside)
    assert not steering(text)
    text.encode()


@pytest.mark.parametrize("width", [40, 400])
def test_nothing_steers_the_terminal_that_shows_the_report(hostile, width):
    shown = StringIO()
    show(hostile, Console(file=shown, width=width))
    said = shown.getvalue()
    said.encode()
    assert not steering(said)
    assert r"\x1b[2J" in said
    assert "[red]" in said


ANY = st.text(st.sampled_from("\\`*_{}[]()<>#+-.!|~&:/@$=\"' \t\n0a") | st.characters(codec=None), max_size=40)


@given(ANY)
@example(MARKED)
@example(STEERS)
@example("1. one")
@example("- one")
@example("# one")
@example("> one")
@example("---")
@example("+")
def test_text_comes_out_of_markdown_as_it_went_in(text):
    expected = printable(" ".join(text.split()))
    plain = markdown._text(text)
    assert (words(plain), kinds(plain) - {"text", "text_special"}) == (
        expected,
        {"paragraph_open", "inline", "paragraph_close"} if expected else set(),
    )
    (row,) = [line for line in markdown._table(Table("", ["a"], [[text]])) if line.startswith("| ")][2:]
    assert words(f"| a |\n| --- |\n{row}") == f"a{expected}"


def test_a_section_keeps_its_bold_and_code():
    section = Section("x", "X", [f"**bold** and `code` and [no](link) {STEERS}"], notes=["**more**: `x_y*z*`"])
    text = "\n".join(markdown._section(section))
    assert "**bold** and `code` and \\[no\\](link)" in text
    assert "**more**: `x_y*z*`" in text
    assert not steering(text)


def test_a_fence_is_longer_than_any_in_its_text():
    text = "\n".join(markdown._section(Section("x", "X", texts=[("Error", f"````\n{MARKED}\n`````{STEERS}")])))
    (fence,) = [token for token in GITHUB.parse(text) if token.type == "fence"]
    assert fence.content == printable(f"````\n{MARKED}\n`````{STEERS}\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_steers_the_terminal_that_shows_runs(make_plan, make_record, terminal):
    specs = run_specs(make_plan(seeds=range(1)))
    progress = Progress(Console(file=StringIO(), width=400), specs)
    with progress:
        progress.report(Started(specs[0].run_id, f"[/red]{STEERS}"))
        if terminal:
            progress.console.print(progress._table())
        progress.report(Retried(specs[0].run_id, 2, STEERS))
        progress.ended(make_record(contender="keras", status="failed", error=f"first\n{STEERS}"))
    said = progress.console.file.getvalue()
    assert not steering(said)
    assert said.count(r"\x1b[2J") == (3 if terminal else 2)
    assert ("[/red]" in said) == terminal
    assert "first\n" in said
