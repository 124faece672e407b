"""How trainings part, for people: the table, the plot and what it says."""

from math import inf
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from runners.parity.divergence import PARTED, Divergence, Line
from runners.report.plots import COLOURS, INK, MUTED, STYLE, Plot, legend_below, new_figure, save

SMALLEST = 1e-17  # drawn for a distance of zero, which a logarithmic axis does not have
BETWEEN = INK  # no one framework's colour
COLUMNS = ["a", "b", "precision", "step", "distance"]
HEADING = ("held against each other", "precision", "after 1 step", "after 20", "at the end", "0.1 % apart at")


def divergence_table(found: Divergence) -> pd.DataFrame:
    """One row a pair, precision and step: the relative distance of the weights."""
    rows = [
        (line.a, line.b, line.precision, step, distance)
        for line in found.lines
        for step, distance in zip(found.steps, line.distances, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def divergence_grid(found: Divergence) -> list[tuple[str, ...]]:
    """The table for reading: a row a pair and precision."""
    return [_cells(found, line) for line in found.lines]


def _cells(found: Divergence, line: Line) -> tuple[str, ...]:
    at = [np.searchsorted(found.steps, step) for step in (1, min(20, found.steps[-1]), found.steps[-1])]
    return (
        f"{line.a} / {line.b}",
        line.precision,
        *(f"{line.distances[place]:.1e}" for place in at),
        _when(line.parted_at(found.steps)),
    )


def sentences(found: Divergence) -> list[str]:
    """For each precision, whether frameworks part sooner or later than one parts from itself."""
    return [_sentence(found, precision) for precision in dict.fromkeys(line.precision for line in found.lines)]


def _sentence(found: Divergence, precision: str) -> str:
    across = found.parted(precision, within=False)
    within = found.parted(precision, within=True)
    told = [f"{a} and {b}: {_when(step)}" for (a, b), step in (across | within).items()]
    return f"In {precision}, weights {100 * PARTED:g} % apart: {'; '.join(told)}. {_verdict(across, within)}"


def _verdict(across: dict[tuple[str, str], float], within: dict[tuple[str, str], float]) -> str:
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


def draw_divergence(found: Divergence, folder: Path) -> Path:
    """Draw the plot alone; returns the PNG file."""
    with mpl.rc_context(STYLE):
        return save(divergence_plot(found), folder)


def divergence_plot(found: Divergence) -> Plot:
    """Relative distance of the weights by step, both axes logarithmic."""
    figure, axes = new_figure(4.2)
    for line in found.lines:
        drawn = np.maximum(line.distances, SMALLEST)
        colour = COLOURS[line.framework] if line.framework else BETWEEN
        dash = "-" if line.precision == "float32" else "--"
        axes.plot(found.steps, drawn, color=colour, linestyle=dash, label=f"{line.a} / {line.b}, {line.precision}")
    axes.axhline(PARTED, color=MUTED, linewidth=0.8)
    axes.set(
        xscale="log", yscale="log", xlabel="training step (count)", ylabel="relative distance of the weights (fraction)"
    )
    axes.set_ylim(bottom=SMALLEST)
    legend_below(figure, [axes], 1)
    caption = (
        "How trainings part: how far apart the weights of two trainings are after each step, divided by the norm of the"
        " second's. Two frameworks, and each framework against itself with other threads; the grey line is"
        f" {100 * PARTED:g} %."
    )
    return Plot(
        "divergence", caption, f"How trainings part. {' '.join(sentences(found))}", figure, divergence_table(found)
    )
