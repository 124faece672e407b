"""Do contenders compute the same? The checks of the parity audit, and how fast two trainings part."""

from functools import partial
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from runners.parity.checks import Audit, AuditRow
from runners.parity.divergence import PARTED, Divergence, Line
from runners.report.columns import Table
from runners.report.dictionary import columns_of
from runners.report.inputs import Inputs
from runners.report.plots import COLOURS, INK, MUTED, Plot, legend_below, new_figure, save
from runners.report.section import Section

SMALLEST = 1e-17  # drawn for a distance of zero, which a logarithmic axis does not have
BETWEEN = INK  # no one framework's colour
AUDIT_HEADING = ("check", "precision", "held against each other", "measured", "allowed", "holds")
HEADING = ("held against each other", "precision", "after 1 step", "after 20", "at the end", "0.1 % apart at")
AUDIT_NOTE = (
    "**Parity audit**: each contender shows what it computes in a process of its own, through the functions that"
    " its runs go through; precision, amount of data and optimiser are settings. Exact checks count faults. The"
    " others measure the largest norm of a difference, divided by the norm of the second contender's: of each"
    " layer's output, each parameter's gradient or movement, each loss. Float32 is judged only as far as its"
    " rounding does not yet decide which way a ReLU falls."
)
DIVERGENCE_NOTE = (
    "One training of each framework, and one more with another number of threads, which adds the same numbers in"
    " another order: same weights, same batches, same update. Distance is the norm of the difference of all"
    " weights, divided by the norm of the second training's weights."
)


def audit_section(inputs: Inputs) -> Section | None:
    """Show the checks of the parity audit, if the study has one."""
    if not inputs.audit:
        return None
    failed = [f"**{row.check} ({row.precision})**: {row.finding}" for row in inputs.audit.failed]
    table = Table("The checks of the parity audit", AUDIT_HEADING, audit_grid(inputs.audit), 3)
    return Section("audit", "Parity audit", [f"{summary(inputs.audit)}.", *failed], [table], notes=[AUDIT_NOTE])


def divergence_section(inputs: Inputs) -> Section | None:
    """Show how trainings part, if that was measured."""
    if not inputs.divergence:
        return None
    caption, rows = "Relative distance of the weights of two trainings", divergence_grid(inputs.divergence)
    table, plot = Table(caption, HEADING, rows, 2, "divergence"), divergence_plot(inputs.divergence)
    words, data = sentences(inputs.divergence), {"divergence": plot.data}
    return Section("divergence", "How trainings part", words, [table], [plot], notes=[DIVERGENCE_NOTE], data=data)


def audit_grid(audit: Audit) -> list[tuple[str, ...]]:
    """Return the checks in order; measured is a relative difference, or of exact checks a count of faults."""
    return [_check(row) for row in audit.rows]


def summary(audit: Audit) -> str:
    """Say in one sentence how the audit ended."""
    where = f"on {', '.join(audit.machines)}" if audit.machines else "nowhere"
    if audit.failed:
        first = audit.failed[0]
        count = f"{len(audit.failed)} of {len(audit.rows)} checks do not hold"
        return f"Parity audit ({audit.level}) failed: {count}, first {first.check} ({first.precision}). {first.finding}"
    worst = max(row.measured for row in audit.rows if row.precision == "float64")
    return (
        f"Parity audit ({audit.level}): all {len(audit.rows)} checks hold, the largest relative difference in float64 "
        f"{worst:.0e}; {audit.seconds:.0f} s {where}"
    )


def divergence_grid(divergence: Divergence) -> list[tuple[str, ...]]:
    """Return a row a pair and precision."""
    return [_distances(divergence, line) for line in divergence.lines]


def sentences(divergence: Divergence) -> list[str]:
    """Say for each precision whether two frameworks part sooner or later than one framework from itself."""
    return [
        _sentence(divergence, precision) for precision in dict.fromkeys(line.precision for line in divergence.lines)
    ]


def draw_divergence(divergence: Divergence, folder: Path) -> Path:
    """Write the plot alone; return the PNG's path."""
    return save(divergence_plot(divergence), folder)


def divergence_plot(divergence: Divergence) -> Plot:
    """Draw the relative distance of the weights by step, both axes logarithmic."""
    rows = [
        (line.a, line.b, line.precision, step, distance)
        for line in divergence.lines
        for step, distance in zip(divergence.steps, line.distances, strict=True)
    ]
    caption = (
        "How trainings part: how far apart the weights of two trainings are after each step, divided by the norm of the"
        " second's. Two frameworks, and each framework against itself with other threads; the grey line is"
        f" {100 * PARTED:g} %."
    )
    alt = f"How trainings part. {' '.join(sentences(divergence))}"
    table = pd.DataFrame(rows, columns=columns_of("divergence"))
    return Plot("divergence", caption, alt, table, partial(_draw, divergence))


def _draw(divergence: Divergence) -> Figure:
    figure, axes = new_figure(4.2)
    for line in divergence.lines:
        drawn = np.maximum(line.distances, SMALLEST)
        colour = COLOURS[line.framework] if line.framework else BETWEEN
        dash = "-" if line.precision == "float32" else "--"
        label = f"{line.a} / {line.b}, {line.precision}"
        axes.plot(divergence.steps, drawn, color=colour, linestyle=dash, label=label)
    axes.axhline(PARTED, color=MUTED, linewidth=0.8)
    axes.set(xlabel="training step (count)", ylabel="relative distance of the weights (fraction)")
    axes.set(xscale="log", yscale="log")
    axes.set_ylim(bottom=SMALLEST)
    legend_below(figure, [axes], 1)
    return figure


def _check(row: AuditRow) -> tuple[str, ...]:
    exact = row.precision == "exact"
    measured, allowed = (f"{value:.0f}" if exact else f"{value:.1e}" for value in (row.measured, row.allowed))
    return row.check, row.precision, f"{row.a}, {row.b}", measured, allowed, "yes" if row.holds else "NO"


def _distances(divergence: Divergence, line: Line) -> tuple[str, ...]:
    steps = divergence.steps
    places = [np.searchsorted(steps, step) for step in (1, min(20, steps[-1]), steps[-1])]
    distances = (f"{line.distances[place]:.1e}" for place in places)
    return f"{line.a} / {line.b}", line.precision, *distances, _when(line.parted_at(steps))


def _sentence(divergence: Divergence, precision: str) -> str:
    across = divergence.parted(precision, within=False)
    within = divergence.parted(precision, within=True)
    steps = [f"{a} and {b}: {_when(step)}" for (a, b), step in (across | within).items()]
    return f"In {precision}, weights {100 * PARTED:g} % apart: {'; '.join(steps)}. {_conclusion(across, within)}"


def _conclusion(across: dict[tuple[str, str], float], within: dict[tuple[str, str], float]) -> str:
    steps = [*across.values(), *within.values()]
    if min(steps) == inf:
        return "Neither two frameworks part, nor one from itself: what parts them elsewhere is rounding."
    if not across or not within:
        return "There is nothing to compare that with."
    if max(across.values()) < min(within.values()):
        return "Two frameworks part sooner than either parts from itself when its sums are merely reordered."
    if min(across.values()) > max(within.values()):
        return "Two frameworks part later than either parts from itself when its sums are merely reordered."
    return "Two frameworks part neither sooner nor later than one may part from itself when its sums are reordered."


def _when(step: float) -> str:
    return "never" if step == inf else f"step {step:,.0f}"
