"""report.md: the page's words and tables for pull requests, with plots by reference to plots/."""

import re
from collections.abc import Iterator

from runners.core.text import printable
from runners.report.columns import Table
from runners.report.report import Report
from runners.report.section import Section

LONGEST = 40  # rows of a table: the length of a comment on a pull request is limited
OURS = re.compile(r"(\*\*|`[^`]+`)")  # the marks of a section for bold and code
SPECIAL = re.compile(r"[\\`*_\[\]~|$]")
BLOCK = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=>|(?:#+|[+-]+)(?:\s|$)))")  # where a list, heading, rule or quote begins
ADDRESS = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)")  # GitHub makes a link of one that stands bare


def render(report: Report) -> str:
    """Return the report as GitHub's Markdown."""
    lines = [f"# {_text(report.title)}", ""]
    for headline in report.answer.headlines:
        first = headline.rows[0]
        lines += [f"## {_text(headline.pair)}, {headline.track}", ""]
        lines += [f"**{_text(first['short'])}** {_text(first['told'])} {_text(first['would_change'])}", ""]
    if report.answer.headlines:
        lines += _table(report.answer.table)
    before = [*(f"A/A control: {sentence}" for sentence in report.control), *report.notices]
    if before:
        lines += ["## Before you rely on this", "", *(f"- {_text(sentence)}" for sentence in before), ""]
    for section in report.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {_text(section.title)}", "")
    for sentence in section.words:
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
    rows = table.rows
    aligned = ["---" if place < table.words else "---:" for place in range(len(table.heading))]
    for cells in (table.heading, aligned, *rows[:LONGEST]):
        yield f"| {' | '.join(_text(cell) for cell in cells)} |"
    yield ""
    if len(rows) > LONGEST:
        where = f"`tables/{table.file}.csv` has all" if table.file else "report.html has more"
        yield from (f"The first {LONGEST} of {len(rows):,} rows; {where}.", "")


def _marked(text: str) -> str:
    """Write text as `_text` does, but keep what the section marks bold or code."""
    parts = OURS.split(_line(text))
    parts[::2] = map(_literal, parts[::2])
    return "".join(parts)


def _text(text: str) -> str:
    """Write text that an error or a node may have chosen: without mark-up, links and line breaks of its own."""
    return _literal(_line(text))


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _literal(line: str) -> str:
    escaped = SPECIAL.sub(r"\\\g<0>", line).replace("&", "&amp;").replace("<", "&lt;")
    unlinked = ADDRESS.sub(r"\\", BLOCK.sub(r"\1\\", escaped))
    return unlinked.replace("@", "@<!-- -->")  # GitHub links people and mail addresses even where @ is escaped
