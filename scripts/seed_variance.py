"""How much of a result is its seed, and which part of it: initial weights, batch order, or what no seed decides?"""

from pathlib import Path
from typing import Annotated

import typer

from runners import store
from runners.report.screen import show_variance
from runners.report.tables import write
from runners.report.variance import read_sources, variance_table
from scripts import cli


def seed_variance(
    results: Annotated[list[Path], typer.Argument(help="--out folders of scripts/compare.py, one for each --vary")],
    out: Annotated[Path | None, typer.Option(help="where tables/variance goes [default: the first of RESULTS]")] = None,
) -> None:
    """Show how far the runs of RESULTS spread, by what varied in each: weights and order, one of them, or nothing.

    The folders must hold studies alike in all but --vary and --seeds. Needs no framework, no Ray and no data.
    """
    with cli.exit_codes():
        runs, unreadable = read_sources(results)
        folder = out or results[0]
        store.prepare(folder)
        variance = variance_table(runs)
        write(variance, folder / "tables", "variance")
        console = cli.stdout_console()
        for item in unreadable:
            console.print(f"{item.path} is skipped: {item.reason}", markup=False)
        show_variance(variance, console)
        console.print(f"{folder / 'tables' / 'variance.csv'}", markup=False, highlight=False)


if __name__ == "__main__":
    cli.run_app(seed_variance)
