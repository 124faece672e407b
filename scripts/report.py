"""Rebuild every table, plot and page of a results folder from its records alone."""

from pathlib import Path
from typing import Annotated

import typer

from runners.report.build import build
from runners.report.screen import show
from scripts import cli


def report(results: Annotated[Path, typer.Argument(help="the --out folder of scripts/compare.py")]) -> None:
    """Rebuild the tables, plots and report.html of RESULTS. Needs no framework, no Ray and no data."""
    with cli.exit_codes():
        show(build(results), cli.stdout_console())


if __name__ == "__main__":
    cli.run_app(report)
