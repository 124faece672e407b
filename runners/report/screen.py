"""The report as a terminal shows it: verdicts first, then the summary, then what weakens it."""

from rich.console import Console
from rich.table import Table

from runners.report.build import Report
from runners.report.defaults_worth import ON_SCREEN
from runners.report.wording import labelled_sentences, summary_grid


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.print()
    for label, sentence in labelled_sentences(report.comparisons):
        console.print(f"[{label}] {sentence}", markup=False, highlight=False)
    for row in report.defaults[report.defaults["metric"].isin(ON_SCREEN)].itertuples():
        console.print(f"[defaults] {row.sentence}", markup=False, highlight=False)
    heading, *rows = summary_grid(report.summary)
    table = Table()
    for index, name in enumerate(heading):
        table.add_column(name, justify="right" if index else "left")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    for notice in report.notices:
        console.print(f"note: {notice}", markup=False, highlight=False)
    console.print(f"{report.page}", markup=False, highlight=False)
