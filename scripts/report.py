"""Rebuild every table, plot and page of a results folder from its records alone."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from pathlib import Path
from typing import Annotated

import typer

from runners.core import store
from runners.report.build import build
from runners.report.output.json import to_json
from runners.report.output.terminal import show
from scripts import options


def report(
    results: Annotated[Path, typer.Argument(help="the --out folder of scripts/compare.py")],
    as_json: options.AsJson = False,
    fail_if_different: options.FailIfDifferent = False,
) -> None:
    """Rebuild the tables, plots, report.html and report.md of RESULTS, without a framework, Ray or the data."""
    with options.exit_codes():
        store.existing_study(results)
        console = options.text_console(as_json)
        with options.locked(results, console):
            built = build(results)
        show(built, console)
        if as_json:
            print(to_json(built))
    raise SystemExit(options.DIFFERENT if fail_if_different and built.differs else 0)


if __name__ == "__main__":
    options.run_app(report)
