"""How much of a result is its seed, and which part of it: initial weights, batch order, or what no seed decides?"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from lenet.data import FashionMnist, load
from lenet.errors import BadInput
from runners import pilot, store
from runners.report.build import build
from runners.report.gallery import draw_variance
from runners.report.precision import beyond_images_sentences, precision_sentences
from runners.report.screen import show_variance
from runners.report.tables import runs_table, write
from runners.report.variance import Source, read_sources, variance_table
from runners.report.wording import SOURCES
from runners.report.wrong_winner import wrong_winner_sentences, wrong_winner_table
from runners.spec import Vary
from scripts import cli


def seed_variance(
    results: Annotated[list[Path], typer.Argument(help="--out folders of scripts/compare.py, one for each --vary")],
    out: Annotated[Path | None, typer.Option(help="where tables and plots go [default: the first of RESULTS]")] = None,
    until_half_width: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="add the seeds that bring each mean accuracy's 95 % interval to +- this (0.001), decided once by the "
            "runs that are there; takes one folder",
        ),
    ] = None,
    address: cli.Address = "auto",
    data_dir: cli.DataDir = None,
) -> None:
    """Show how far the runs of RESULTS spread, by what varied in each: weights and order, one of them, or nothing.

    The folders must hold studies alike in all but --vary and --seeds. Needs no framework and no Ray, unless seeds are
    to be added. Besides the tables variance and wrong_winner it draws both plots of the first.
    """
    with cli.exit_codes():
        if until_half_width is not None and not until_half_width > 0:
            raise BadInput(f"--until-half-width must be above 0, not {until_half_width}")
        console = cli.stdout_console()
        if until_half_width is not None:
            if len(results) > 1:
                raise BadInput(f"--until-half-width takes one folder, not {len(results)}")
            extend(results[0], until_half_width, address, load(data_dir), console)
        found, unreadable = read_sources(results)
        sources = with_labels(found, data_dir, console)
        folder = out or results[0]
        store.prepare(folder)
        variance, wrong_winner = variance_table(sources), wrong_winner_table(sources)
        with cli.holding(folder, console):
            write(variance, folder / "tables", "variance")
            write(wrong_winner, folder / "tables", "wrong_winner")
            drawn = draw_variance(variance, folder)
        for item in unreadable:
            console.print(f"{item.path} is skipped: {item.reason}", markup=False)
        show_variance(variance, console)
        told = [*precision_sentences(variance), *wrong_winner_sentences(wrong_winner)]
        for vary, sentence in [*told, *beyond_images_sentences(variance)]:
            console.print(f"[{SOURCES[vary]}] {sentence}", markup=False, highlight=False)
        if until_half_width is not None:
            show_reached(results[0], sources, console)
        for plot in drawn:
            console.print(f"{folder / 'plots' / plot.name}.png", markup=False, highlight=False)
        console.print(f"{folder / 'tables' / 'variance.csv'}", markup=False, highlight=False)


def extend(folder: Path, half_width: float, address: str, data: FashionMnist, console: Console) -> None:
    """Do the runs that the folder's pilot decides on, or what is missing of them."""
    from scripts.compare import Permissions, do_missing_runs  # with Ray

    plan = store.existing_study(folder).plan
    with cli.holding(folder, console):
        records, _ = store.read_records(folder, plan)
        decided = pilot.decide(folder, plan, accuracies(runs_table(records)), half_width)
        told = f"The pilot of {len(decided.seeds)} seeds asks for {decided.runs} runs of each contender."
        console.print(told, markup=False, highlight=False)
        extended = plan.model_copy(update={"seeds": pilot.topped_up(plan.seeds, decided.runs)})
        may = Permissions(retry_failed=False, go_on_unmatched=False, wait_seconds=0, isolate=None)
        do_missing_runs(folder, extended, plan.device, address, data, console, may)
        build(folder)


def show_reached(folder: Path, sources: Mapping[Vary, Source], console: Console) -> None:
    """Print each mean with the interval that its pilot and top-up give."""
    plan = store.existing_study(folder).plan
    seeds = pilot.decided(folder).seeds
    table = sources[plan.vary].runs
    of_pilot, of_top_up = (accuracies(table[table["seed"].isin(seeds) == first]) for first in (True, False))
    for name, values in of_pilot.items():
        told = pilot.reached(name, values, of_top_up.get(name, np.empty(0)))
        console.print(told, markup=False, highlight=False)


def accuracies(runs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Test accuracies of completed runs, of shape (runs,), by contender and track."""
    completed = runs[runs["status"] == "completed"]
    groups = completed.groupby(["contender", "track"], sort=False)["test_accuracy"]
    return {f"{contender}, {track}": of.to_numpy(float) for (contender, track), of in groups}


def with_labels(sources: Mapping[Vary, Source], data_dir: Path | None, console: Console) -> Mapping[Vary, Source]:
    """The sources with the test images' labels from the data, if it is at hand and a folder lacks its own."""
    if all(source.labels is not None for source in sources.values()):
        return sources
    try:
        labels = load(data_dir).test_labels
    except BadInput as error:
        console.print(f"note: without labels, none can be told from the choice of test images: {error}", markup=False)
        return sources
    return {vary: replace(source, labels=labels) for vary, source in sources.items()}


if __name__ == "__main__":
    cli.run_app(seed_variance)
