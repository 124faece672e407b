"""The parity audit: do contenders really compute the same in matched runs?"""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table

from cluster.parity import announcement, audit_processes, follow_divergence, run_audit
from cluster.place import Place
from lenet.data import load
from runners.core import store
from runners.core.errors import BadInput
from runners.core.spec import RunSpec, Settings
from runners.core.study import DEFAULTS
from runners.parity import divergence
from runners.parity.checks import Audit, write
from runners.parity.divergence import Divergence
from runners.parity.evidence import Level
from runners.report.sections.parity import AUDIT_HEADING as HEADING
from runners.report.sections.parity import audit_grid, summary
from scripts import options
from scripts.options import RESULTS, WHAT, WHERE, option

Full = Annotated[bool, option(WHAT, "with whole epochs, or without them", "--full/--quick")]
Follow = Annotated[bool, option(WHAT, "also follow how the weights diverge over an epoch", "--divergence")]
Out = Annotated[Path, option(RESULTS, "folder for audit.json; name a study's folder to show the audit in its report")]
Where = Annotated[
    str, option(WHERE, "local (this machine, without Ray), auto (a running Ray), or HOST:PORT", "--address")
]


def audit(
    contenders: options.Contenders = None,
    full: Full = True,
    follow: Follow = False,
    out: Out = Path("results/audit"),
    address: Where = "local",
    device: options.Device = "auto",
    threads: options.Threads = DEFAULTS.threads,
    batch_size: options.BatchSize = DEFAULTS.batch_size,
    isolate: options.Isolate = None,
    data_dir: options.DataDir = None,
) -> None:
    """Compare matched contenders: network, data, weights, order, loss, gradients, steps, evaluation.

    Each computes in a separate process, with the same functions as a study's runs. Exits 0 only if every check holds,
    else 1, and names the first difference.
    """
    with options.exit_codes():
        named = options.contenders(contenders)
        if len(named) < 2:
            raise BadInput(f"{named[0]} alone cannot be compared: name two contenders or more")
        wanted = options.device(device)
        store.prepare(out)
        console = options.text_console()
        specs = [RunSpec(contender=name, threads=threads * (2 if follow else 1)) for name in named]
        place = Place(address, wanted, isolate)
        with options.locked(out, console), audit_processes(place, specs, console.print) as processes:
            settings = Settings(device=processes.device, threads=threads, batch_size=batch_size)
            level: Level = "full" if full else "quick"
            data = load(data_dir)
            console.print(announcement(named, level))
            result = run_audit(named, settings, level, data, processes.call_each, processes.software)
            write(out, result)
            show(result, console)
            if follow:
                show_divergence(out, follow_divergence(named, settings, data, processes.call_each), console)
    raise SystemExit(options.RUNS_FAILED if result.failed else 0)


def show(result: Audit, console: Console) -> None:
    """Print the table, then the finding of each failed check and the summary."""
    _print_table(HEADING, audit_grid(result), console)
    for row in result.failed:
        console.print(f"{row.check} ({row.precision}): {row.finding}")
    console.print(summary(result))


def show_divergence(out: Path, measured: Divergence, console: Console) -> None:
    """Save the divergence, and print its table, its sentences and the path of its plot."""
    from runners.report.sections import parity as report  # with all that plots need

    divergence.write(out, measured)
    _print_table(report.HEADING, report.divergence_grid(measured), console)
    for sentence in report.sentences(measured):
        console.print(sentence)
    console.print(str(report.draw_divergence(measured, out / "plots")))


def _print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table(*heading)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    options.run_app(audit)
