"""The report as a terminal shows it: the answer, then what weakens the study; the page has the rest."""

import pandas as pd
from rich import table as rich
from rich.console import Console, JustifyMethod

from runners.core.text import printable
from runners.report.columns import Table, tabulate
from runners.report.report import Report
from runners.report.sections.variance import EXACTLY_ZERO, SPREAD

SECTIONS = ("scaling", "summary")  # whose own screen follows the answer


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.print()
    headlines = report.answer.headlines
    for headline in headlines:
        _say(console, f"{headline.pair} [{headline.track}]: {headline.rows[0]['short']}", style="bold")
    if len(headlines) == 1:
        _say(console, headlines[0].rows[0]["would_change"])
    if headlines:
        console.print(_table(report.answer.table))
    for sentence in report.control:
        _say(console, f"[A/A control] {sentence}")
    sections = {section.anchor: section for section in report.sections}
    for table in (table for anchor in SECTIONS if anchor in sections for table in sections[anchor].screen):
        console.print(_table(table))
    for notice in report.notices:
        _say(console, f"note: {notice}")
    _say(console, f"{report.page}")


def show_variance(variance: pd.DataFrame, console: Console) -> None:
    """Print the variance table."""
    console.print(_table(tabulate("", SPREAD, variance)))
    if (variance["sd"] == 0).any():
        _say(console, f"note: {EXACTLY_ZERO}")


def _say(console: Console, sentence: str, style: str = "") -> None:
    console.print(printable(sentence), markup=False, highlight=False, style=style)


def _table(table: Table) -> rich.Table:
    shown = rich.Table()
    for index, name in enumerate(table.heading):
        justify: JustifyMethod = "right" if index >= table.words else "left"
        shown.add_column(name, justify=justify, overflow="fold")  # cut short, two strategies would read alike
    for cells in table.rows:
        shown.add_row(*cells)
    return shown
