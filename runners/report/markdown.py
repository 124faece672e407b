"""report.md: the page's words and tables for pull requests, with plots by reference to plots/."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runners.core.text import printable
from runners.report.headline import headlines
from runners.report.page import title
from runners.report.sections import Section, Table, sections

if TYPE_CHECKING:
    from runners.report.build import Report

LONGEST = 40  # rows of a table: what a comment on a pull request takes is limited
OURS = re.compile(r"(\*\*|`[^`]+`)")  # what a section marks bold or code with
SPECIAL = re.compile(r"[\\`*_\[\]~|$]")
BLOCK = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=>|(?:#+|[+-]+)(?:\s|$)))")  # where a list, heading, rule or quote begins
ADDRESS = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)")  # GitHub makes a link of one that stands bare


def render(report: "Report") -> str:
    """The report as GitHub's Markdown."""
    lines = [f"# {_text(title(report))}", ""]
    for headline in headlines(report.comparisons):
        lines += [f"## {_text(headline.pair)}, {headline.track}", ""]
        lines += [f"- **{_text(r['short'])}** {_text(r['told'])} {_text(r['would_change'])}" for r in headline.rows]
        lines.append("")
    before = [*(f"A/A control: {sentence}" for sentence in report.control), *report.notices]
    if before:
        lines += ["## Before you rely on this", "", *(f"- {_text(sentence)}" for sentence in before), ""]
    for section in sections(report):
        lines += _section(section)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {_text(section.title)}", "")
    for sentence in section.told:
        yield from (_marked(sentence), "")
    for table in section.tables:
        yield from _table(table)
    for plot in section.plots:
        yield from (f"![{_text(plot.alt)}](plots/{plot.name}.png)", "", _text(plot.caption), "")
    for heading, text in section.texts:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        yield from (f"### {_text(heading)}", "", fence, printable(text), fence, "")
    for note in section.notes:
        yield from (_marked(note), "")


def _table(table: Table) -> Iterator[str]:
    heading, *rows = table.grid
    aligned = ["---" if place < table.words else "---:" for place in range(len(heading))]
    for cells in (heading, aligned, *rows[:LONGEST]):
        yield f"| {' | '.join(_text(cell) for cell in cells)} |"
    yield ""
    if len(rows) > LONGEST:
        where = f"`tables/{table.file}.csv` has all" if table.file else "report.html has more"
        yield from (f"The first {LONGEST} of {len(rows):,} rows; {where}.", "")


def _marked(text: str) -> str:
    """As `_text`, but what the section marks stays marked."""
    parts = OURS.split(_line(text))
    parts[::2] = map(_literal, parts[::2])
    return "".join(parts)


def _text(text: str) -> str:
    """Text as it is: no mark-up, no link, and no line of its own, for an error or a node may have chosen it."""
    return _literal(_line(text))


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _literal(line: str) -> str:
    escaped = SPECIAL.sub(r"\\\g<0>", line).replace("&", "&amp;").replace("<", "&lt;")
    unlinked = ADDRESS.sub(r"\\", BLOCK.sub(r"\1\\", escaped))
    return unlinked.replace("@", "@<!-- -->")  # GitHub links people and mail addresses even where @ is escaped
