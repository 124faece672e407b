"""The parity audit: do contenders really compute the same in matched runs?"""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster import inline
from cluster.parity import CallEach, audit_begins, follow_divergence, hold_audit
from lenet.data import load
from runners.core import environment, store
from runners.core.environment import Software
from runners.core.errors import BadInput
from runners.core.spec import RunSpec, Settings
from runners.parity import divergence
from runners.parity.checks import Audit, write
from runners.parity.divergence import Divergence
from runners.parity.evidence import Level
from runners.report.sections.parity import AUDIT_HEADING as HEADING
from runners.report.sections.parity import audit_grid, summary
from scripts import options

Full = Annotated[bool, typer.Option("--full/--quick", help="with whole epochs, or without")]
Follow = Annotated[bool, typer.Option("--divergence", help="also follow, for an epoch, how the weights part")]
Out = Annotated[Path, typer.Option(help="folder of audit.json; a study's, if its report is to show it")]
Where = Annotated[
    str, typer.Option("--address", help="local (this machine, without Ray), auto (a running Ray), or HOST:PORT")
]


def audit(
    contenders: options.Contenders = None,
    full: Full = True,
    follow: Follow = False,
    out: Out = Path("results/audit"),
    address: Where = "local",
    device: options.Device = "auto",
    threads: options.Threads = 1,
    batch_size: options.BatchSize = 128,
    isolate: options.Isolate = None,
    data_dir: options.DataDir = None,
) -> None:
    """Hold matched contenders against each other: network, data, weights, order, loss, gradients, steps, evaluation.

    Each shows what it computes in a process of its own, through the functions that a study's runs go through. Exits 0
    only if every check holds, else 1, and says where to look.
    """
    with options.exit_codes():
        named = options.contenders(contenders)
        if len(named) < 2:
            raise BadInput(f"{named[0]} alone is held against nothing: name two contenders or more")
        wanted = options.device(device)
        store.prepare(out)
        console = options.stdout_console()
        needs = [RunSpec(contender=name, threads=threads * (2 if follow else 1)) for name in named]
        with (
            options.holding(out, console),
            processes(address, wanted, needs, isolate, console) as (call_each, found, software),
        ):
            settings = Settings(device=found, threads=threads, batch_size=batch_size)
            level: Level = "full" if full else "quick"
            data = load(data_dir)
            console.print(audit_begins(named, level), markup=False)
            done = hold_audit(named, settings, level, data, call_each, software)
            write(out, done)
            show(done, console)
            if follow:
                show_divergence(out, follow_divergence(named, settings, data, call_each), console)
    raise SystemExit(options.RUNS_FAILED if done.failed else 0)


@contextmanager
def processes(
    address: str, device: str, specs: Sequence[RunSpec], isolate: bool | None, console: Console
) -> Iterator[tuple[CallEach, str, Software]]:
    """How to call functions in fresh processes, placed as the runs `specs`; the device; the processes' software.

    On this machine's cores at once; through Ray where there are GPUs, other machines, replicas or isolation.
    """
    frameworks = {spec.contender.framework for spec in specs}
    alone = all(spec.contender.strategy == "single" for spec in specs)
    on_cpu = device == "cpu" or (device == "auto" and environment.gpu_driver() is None)
    if address == "local" and on_cpu and alone and not isolate:
        cores, threads = environment.cores(), specs[0].threads
        if threads > cores:
            raise BadInput(f"each process needs {threads} CPU(s), but this machine has {cores}; lower --threads")
        software = Software(environment.code_sha256(), environment.installed_versions(frameworks))
        yield inline.call_each, "cpu", software
        return
    # Not needed above, and in every process of its own there.
    from cluster.executor import call_each
    from cluster.isolation import environments_of, versions_on_nodes
    from cluster.resources import need_of
    from cluster.session import device_here, preflight, session

    with session(address):
        device = device_here() if device == "auto" else device
        needs = tuple(dict.fromkeys(need_of(spec.model_copy(update={"device": device})) for spec in specs))
        for need in needs:
            preflight(need)
        environments = environments_of(device, isolate)
        tell = partial(console.print, markup=False, highlight=False)
        versions = versions_on_nodes(frameworks, needs, environments, tell)
        software = Software(environment.code_sha256(), versions)
        yield partial(call_each, environments=environments), device, software


def show(done: Audit, console: Console) -> None:
    """The table, then what was found."""
    _print_table(HEADING, audit_grid(done), console)
    for row in done.failed:
        console.print(f"{row.check} ({row.precision}): {row.finding}", markup=False, highlight=False)
    console.print(summary(done), markup=False, highlight=False)


def show_divergence(out: Path, found: Divergence, console: Console) -> None:
    """Keep it, and show table, sentences and where the plot is."""
    from runners.report.sections import parity as report

    divergence.write(out, found)
    _print_table(report.HEADING, report.divergence_grid(found), console)
    for sentence in report.sentences(found):
        console.print(sentence, markup=False, highlight=False)
    console.print(str(report.draw_divergence(found, out / "plots")), markup=False, highlight=False)


def _print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table(*heading)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    options.run_app(audit)
