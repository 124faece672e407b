"""The report as a terminal shows it: verdicts first, then the summary, then what weakens it."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console, JustifyMethod
from rich.table import Table

from runners.core.text import printable
from runners.report.build import Report
from runners.report.defaults_worth import ON_SCREEN
from runners.report.headline import headlines
from runners.report.scaling import scaling_grid
from runners.report.wording import EXACTLY_ZERO, summary_grid, variance_grid


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.print()
    for headline in headlines(report.comparisons):
        _say(console, headline.pair, style="bold")
        for row in headline.rows:
            _say(console, f"[{headline.track}] {row['sentence']}", style="bold" if row["primary"] else "")
    for sentence in report.control:
        _say(console, f"[A/A control] {sentence}")
    for sentence in report.defaults.loc[report.defaults["metric"].isin(ON_SCREEN), "sentence"]:
        _say(console, f"[defaults] {sentence}")
    if len(report.scaling):
        console.print(_table(scaling_grid(report.scaling)))
    console.print(_table(summary_grid(report.summary)))
    for notice in report.notices:
        _say(console, f"note: {notice}")
    _say(console, f"{report.page}")


def show_variance(variance: pd.DataFrame, console: Console) -> None:
    """Print the variance table."""
    console.print(_table(variance_grid(variance), words=3))
    if (variance["sd"] == 0).any():
        _say(console, f"note: {EXACTLY_ZERO}")


def _say(console: Console, sentence: str, style: str = "") -> None:
    console.print(printable(sentence), markup=False, highlight=False, style=style)


def _table(grid: Sequence[Sequence[str]], words: int = 1) -> Table:
    """A grid with its heading row first; after so many columns of words come numbers."""
    heading, *rows = grid
    table = Table()
    for index, name in enumerate(heading):
        justify: JustifyMethod = "right" if index >= words else "left"
        table.add_column(name, justify=justify, overflow="fold")  # cut short, two strategies would look alike
    for cells in rows:
        table.add_row(*cells)
    return table
