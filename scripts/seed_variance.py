"""How much does a result depend on its seed: on initial weights, on batch order, or on what no seed determines?"""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from cluster.place import Place
from lenet.data import DataError, FashionMnist, load
from runners.core import store
from runners.core.errors import BadInput
from runners.core.spec import VARIES, Vary
from runners.core.study import DEFAULTS, Plan
from runners.parity import checks
from runners.report import pilot
from runners.report.build import build
from runners.report.output.terminal import show_variance
from runners.report.sections.variance import (
    Source,
    beyond_images_sentences,
    precision_sentences,
    read_sources,
    variance_table,
)
from runners.report.sections.variance_plots import draw_variance
from runners.report.sections.wrong_winner import wrong_winner_sentences, wrong_winner_table
from runners.report.tables import runs_table, write
from runners.report.wording import SOURCES
from scripts import options
from scripts.options import RESULTS, WHAT, option
from scripts.progress import screen

Run = Annotated[
    str | None,
    option(
        WHAT,
        "do the studies first, one for each --vary, in OUT/all, OUT/init, OUT/order and OUT/nothing; the same command "
        "continues where it stopped",
        metavar="CONTENDER[,CONTENDER]",
    ),
]


def seed_variance(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="--out folders of scripts/compare.py, one for each --vary", rich_help_panel=WHAT),
    ] = None,
    run: Run = None,
    seeds: Annotated[str, option(WHAT, "with --run, the seeds of each study, as in scripts/compare.py")] = "10",
    epochs: options.Epochs = DEFAULTS.epochs,
    limit_train: options.LimitTrain = DEFAULTS.limit_train,
    threads: options.Threads = DEFAULTS.threads,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        option(RESULTS, "folder for tables and plots [default: the first of RESULTS; with --run results/variance]"),
    ] = None,
    until_half_width: Annotated[
        float | None,
        option(
            WHAT,
            "add the seeds that bring each mean accuracy's 95 % interval to +- this (0.001), decided once from the "
            "recorded runs; takes one folder",
            metavar="FRACTION",
        ),
    ] = None,
    address: options.Address = "auto",
    data_dir: options.DataDir = None,
) -> None:
    """Show the spread of the runs of RESULTS when seeds vary weights and order, one of them, or nothing.

    The studies may differ only in --vary and --seeds. Writes the tables variance and wrong_winner, and draws the two
    plots of the first. Needs a framework and Ray only to do runs: with --run all of them, with --until-half-width the
    missing ones.
    """
    with options.exit_codes():
        if bool(results) == bool(run):
            raise BadInput("name either the folders of existing studies, or with --run the contenders of new ones")
        if until_half_width is not None:
            pilot.check_half_width(until_half_width)
        folders = [*(results or [])]
        if until_half_width is not None and len(folders) != 1:
            raise BadInput(f"--until-half-width takes one folder, not {len(folders) or '--run'}")
        console = options.text_console()
        if run:
            out = out or Path("results/variance")
            plan = Plan(
                contenders=options.contenders(run.split(",")),
                tracks=DEFAULTS.tracks,
                seeds=options.seeds(seeds),
                epochs=epochs,
                limit_train=limit_train,
                threads=threads,
            )
            folders = do_studies(out, plan, Place(address, options.device(device)), load(data_dir), console)
        if until_half_width is not None:
            extend(folders[0], until_half_width, address, load(data_dir), console)
        sources = report(folders, out or folders[0], data_dir, console)
        if until_half_width is not None:
            show_reached(folders[0], sources, console)


def report(folders: Sequence[Path], out: Path, data_dir: Path | None, console: Console) -> Mapping[Vary, Source]:
    """Write and print the variance of the studies in these folders; return the studies by source of variance."""
    read, unreadable = read_sources(folders)
    sources = with_labels(read, data_dir, console)
    store.prepare(out)
    variance, wrong_winner = variance_table(sources), wrong_winner_table(sources)
    with options.locked(out, console):
        write(variance, out / "tables", "variance")
        write(wrong_winner, out / "tables", "wrong_winner")
        drawn = draw_variance(variance, out)
    for item in unreadable:
        console.print(f"{item.path} is skipped: {item.reason}")
    show_variance(variance, console)
    sentences = [*precision_sentences(variance), *wrong_winner_sentences(wrong_winner)]
    for vary, sentence in [*sentences, *beyond_images_sentences(variance)]:
        console.print(f"[{SOURCES[vary]}] {sentence}")
    for plot in drawn:
        console.print(f"{out / 'plots' / plot.name}.png")
    console.print(f"{out / 'tables' / 'variance.csv'}")
    return sources


def do_studies(out: Path, plan: Plan, place: Place, data: FashionMnist, console: Console) -> list[Path]:
    """Complete a study for each source of variance, with one parity audit for all; return their folders."""
    folders = {vary: out / vary for vary in VARIES}
    for vary, folder in folders.items():
        store.prepare(folder)
        console.print(f"[{SOURCES[vary]}] {folder}")
        with options.locked(folder, console):
            if (known := checks.read(folders["all"])) and not checks.read(folder):
                checks.write(folder, known)
            complete_study(folder, plan.model_copy(update={"vary": vary}), place, data, console)
    return list(folders.values())


def extend(folder: Path, half_width: float, address: str, data: FashionMnist, console: Console) -> None:
    """Do the missing ones of the runs that the folder's pilot asks for."""
    study = store.existing_study(folder)
    plan = study.plan
    with options.locked(folder, console):
        records, _ = store.read_records(folder, study)
        decided = pilot.decide(folder, plan, accuracies(runs_table(records)), half_width)
        console.print(f"The pilot of {len(decided.seeds)} seeds asks for {decided.runs} runs of each contender.")
        extended = plan.model_copy(update={"seeds": pilot.topped_up(plan.seeds, decided.runs)})
        complete_study(folder, extended, Place(address), data, console)


def complete_study(folder: Path, plan: Plan, place: Place, data: FashionMnist, console: Console) -> None:
    """Do the runs of the plan that the folder lacks, and write its report. The caller has locked the folder."""
    from cluster.study import Permissions, complete  # this imports Ray

    complete(folder, plan, place, data, Permissions(), screen(console))
    build(folder)


def show_reached(folder: Path, sources: Mapping[Vary, Source], console: Console) -> None:
    """Print each mean accuracy with the interval that its pilot and the added runs give."""
    plan = store.existing_study(folder).plan
    seeds = pilot.decided(folder).seeds
    table = sources[plan.vary].runs
    of_pilot, added = (accuracies(table[table["seed"].isin(seeds) == first]) for first in (True, False))
    for name, values in of_pilot.items():
        console.print(pilot.reached(name, values, added.get(name, np.empty(0))))


def accuracies(runs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the test accuracies of completed runs, in [0, 1] and of shape (runs,), by contender and track."""
    completed = runs[runs["status"] == "completed"]
    groups = completed.groupby(["contender", "track"], sort=False)["test_accuracy"]
    return {f"{contender}, {track}": of.to_numpy(float) for (contender, track), of in groups}


def with_labels(sources: Mapping[Vary, Source], data_dir: Path | None, console: Console) -> Mapping[Vary, Source]:
    """Add the test images' labels, from the data if it can be read, to sources if any folder lacks its own."""
    if all(source.labels is not None for source in sources.values()):
        return sources
    try:
        labels = load(data_dir).test_labels
    except DataError as error:
        console.print(f"note: without labels, the share of the choice of test images is unknown: {error}")
        return sources
    return {vary: replace(source, labels=labels) for vary, source in sources.items()}


if __name__ == "__main__":
    options.run_app(seed_variance)
