"""The parity audit: do contenders really compute the same in matched runs?"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.audit import follow_divergence, hold_audit
from cluster.executor import need_of
from cluster.session import nodes, preflight, session
from lenet.data import load
from lenet.errors import BadInput
from runners import divergence, store
from runners.audit import Audit, write
from runners.divergence import Divergence
from runners.report import divergence as divergence_report
from runners.report.audit import HEADING, audit_grid, summary
from runners.spec import RunSpec, Settings
from runners.witness import Level
from scripts import cli


def audit(
    contenders: cli.Contenders = None,
    full: Annotated[bool, typer.Option("--full/--quick", help="with whole epochs, or without")] = True,
    follow: Annotated[
        bool, typer.Option("--divergence", help="also follow, for an epoch, how the contenders' weights part")
    ] = False,
    out: Annotated[Path, typer.Option(help="folder of audit.json; a study's, if its report is to show it")] = Path(
        "results/audit"
    ),
    address: cli.Address = "auto",
    device: cli.Device = "auto",
    threads: cli.Threads = 1,
    batch_size: cli.BatchSize = 128,
    data_dir: cli.DataDir = None,
) -> None:
    """Hold matched contenders against each other: network, data, weights, order, loss, gradients, steps, evaluation.

    Each shows what it computes in a process of its own, through the functions that a study's runs go through. Exits 0
    only if every check holds, else 1, and says where to look.
    """
    with cli.exit_codes():
        named = cli.contenders(contenders)
        if len(named) < 2:
            raise BadInput(f"{named[0]} alone is held against nothing: name two contenders or more")
        wanted = cli.device(device)
        store.prepare(out)
        data = load(data_dir)
        console = cli.stdout_console()
        with session(address) as where:
            if wanted == "auto":
                wanted = "gpu" if any(node.gpus for node in nodes()) else "cpu"
            settings = Settings(device=wanted, threads=threads, batch_size=batch_size)
            most = settings.model_copy(update={"threads": 2 * threads}) if follow else settings
            preflight(need_of(RunSpec(contender=named[0], **most.model_dump())))
            level: Level = "full" if full else "quick"
            console.print(f"{cli.audit_begins(named, level)} {where}", markup=False)
            done = hold_audit(named, settings, level, data)
            write(out, done)
            show(done, console)
            if follow:
                show_divergence(out, follow_divergence(named, settings, data), console)
    raise SystemExit(cli.RUNS_FAILED if done.failed else 0)


def show(done: Audit, console: Console) -> None:
    """The table, then what was found."""
    table = Table(*HEADING)
    for cells in audit_grid(done):
        table.add_row(*cells)
    console.print(table)
    for row in done.failed:
        console.print(f"{row.check} ({row.precision}): {row.finding}", markup=False, highlight=False)
    console.print(summary(done), markup=False, highlight=False)


def show_divergence(out: Path, found: Divergence, console: Console) -> None:
    """Keep it, and show table, plot and sentences."""
    divergence.write(out, found)
    table = Table(*divergence_report.HEADING)
    for cells in divergence_report.divergence_grid(found):
        table.add_row(*cells)
    console.print(table)
    for sentence in divergence_report.sentences(found):
        console.print(sentence, markup=False, highlight=False)
    console.print(str(divergence_report.draw_divergence(found, out / "plots")), markup=False, highlight=False)


if __name__ == "__main__":
    cli.run_app(audit)
