"""How much of a result is its seed, and which part of it: initial weights, batch order, or what no seed decides?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from lenet.data import load
from lenet.errors import BadInput
from runners import store
from runners.report.screen import show_variance
from runners.report.tables import write
from runners.report.variance import (
    beyond_images_sentences,
    precision_sentences,
    read_sources,
    variance_table,
    wrong_winner_sentences,
)
from runners.report.wording import SOURCES
from runners.spec import Vary
from scripts import cli


def seed_variance(
    results: Annotated[list[Path], typer.Argument(help="--out folders of scripts/compare.py, one for each --vary")],
    out: Annotated[Path | None, typer.Option(help="where tables/variance goes [default: the first of RESULTS]")] = None,
    until_half_width: Annotated[
        float | None,
        typer.Option(metavar="FRACTION", help="tell how many runs make a mean accuracy's interval this narrow (0.001)"),
    ] = None,
    data_dir: cli.DataDir = None,
) -> None:
    """Show how far the runs of RESULTS spread, by what varied in each: weights and order, one of them, or nothing.

    The folders must hold studies alike in all but --vary and --seeds. Needs no framework and no Ray; with the
    data, it also tells how much of the spread is left beyond the choice of test images.
    """
    with cli.exit_codes():
        if until_half_width is not None and not until_half_width > 0:
            raise BadInput(f"--until-half-width must be above 0, not {until_half_width}")
        runs, unreadable = read_sources(results)
        folder = out or results[0]
        store.prepare(folder)
        variance = variance_table(runs)
        write(variance, folder / "tables", "variance")
        console = cli.stdout_console()
        for item in unreadable:
            console.print(f"{item.path} is skipped: {item.reason}", markup=False)
        show_variance(variance, console)
        for vary, table in runs.items():
            for sentence in (*precision_sentences(table, until_half_width), *wrong_winner_sentences(table)):
                console.print(f"[{SOURCES[vary]}] {sentence}", markup=False, highlight=False)
        show_beyond_images(results, runs, data_dir, console)
        console.print(f"{folder / 'tables' / 'variance.csv'}", markup=False, highlight=False)


def show_beyond_images(
    results: Sequence[Path], runs: Mapping[Vary, pd.DataFrame], data_dir: Path | None, console: Console
) -> None:
    """Print how much spread is left beyond the choice of test images, whose labels that takes."""
    try:
        labels = load(data_dir).test_labels
    except BadInput as error:
        console.print(f"note: without labels, none can be told from the choice of test images: {error}", markup=False)
        return
    for folder in results:
        table = runs[store.existing_study(folder).plan.vary]
        predictions, _ = store.read_predictions(folder, table.loc[table["status"] == "completed", "run_id"])
        for sentence in beyond_images_sentences(table, predictions, labels):
            console.print(f"[{folder}] {sentence}", markup=False, highlight=False)


if __name__ == "__main__":
    cli.run_app(seed_variance)
