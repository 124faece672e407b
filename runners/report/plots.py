"""What all plots share: one colour per framework everywhere, one dash and marker per track, strategy or copy.

A plot is drawn from one table and nothing else; that table lies beside it as CSV.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import Contender
from runners.core.store import write_atomically

COLOURS = {name: framework.colour for name, framework in FRAMEWORKS.items()}
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
# All that is no framework's is drawn in these, which a dark page swaps for light ones.
INK, MUTED = "#1f2328", "#6b7280"
OF_FRAMEWORKS = {framework.colour.lower(): framework.dark_colour for framework in FRAMEWORKS.values()}
IN_THE_DARK = {INK: "#e6edf3", MUTED: "#9aa4b2", **OF_FRAMEWORKS}
COMPACT: dict[str, Any] = {"fontsize": 8, "columnspacing": 1.0, "handlelength": 1.6, "handletextpad": 0.5}
WIDTH_INCHES = 4.0  # with 10-point type: a paper's column, and still legible when a page shrinks it to 340 pixels
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": MUTED,
    "grid.alpha": 0.2,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "level-field",  # the same records give the same file
    "figure.dpi": 100,
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Plot:
    """A figure with the words that go with it, and the table that it was drawn from."""

    name: str  # of its files
    caption: str  # what is drawn, and how to read it
    alt: str  # what is to be seen, for who does not see it
    figure: Figure
    data: pd.DataFrame


@dataclass(frozen=True)
class Look:
    """How a contender's runs on a track are drawn and called."""

    name: str
    colour: str
    dash: str
    marker: str


def looks(table: pd.DataFrame) -> dict[tuple[str, str], Look]:
    """The look of each contender and track in a table that has these columns, in its order."""
    groups = list(dict.fromkeys(table[["contender", "track"]].itertuples(index=False, name=None)))
    frameworks = {contender: Contender.model_validate(contender).framework for contender, _ in groups}
    # What tells contenders of one framework apart, in one track: "", "#2", ":ddp:2", in this order.
    kinds = {contender: contender.removeprefix(framework) for contender, framework in frameworks.items()}
    variants = sorted({(track, kinds[contender]) for contender, track in groups})
    one_track = len({track for _, track in groups}) == 1
    found = {}
    for contender, track in groups:
        place = variants.index((track, kinds[contender])) % len(DASHES)
        name = contender if one_track else f"{contender} {track}"
        found[contender, track] = Look(name, COLOURS[frameworks[contender]], DASHES[place], MARKERS[place])
    return found


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """A figure of one column's width with one pair of axes."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))  # with 2.5 come digits that meet
    return figure, axes


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend of all panels, under them, where it hides nothing."""
    entries: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries}
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns, **COMPACT)


def save(plot: Plot, folder: Path) -> Path:
    """Write a plot as PNG, SVG and CSV, the table that it was drawn from; returns the PNG.

    The PNG is on white. The SVG is on nothing, and its ink is light where a dark page, or a dark screen, shows it.
    """
    path, png, svg = folder / f"{plot.name}.png", io.BytesIO(), io.StringIO()
    plot.figure.savefig(png)
    plot.figure.set_layout_engine("none")  # it is laid out, and stays so in the other file
    plot.figure.savefig(svg, format="svg", metadata={"Date": None}, transparent=True)
    write_atomically(path, png.getvalue())
    write_atomically(path.with_suffix(".svg"), _for_light_and_dark(svg.getvalue()).encode())
    write_atomically(path.with_suffix(".csv"), plot.data.to_csv(index=False).encode())
    return path


def _for_light_and_dark(svg: str) -> str:
    """Matplotlib writes each colour into each element's style, so the rule looks for it there."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in IN_THE_DARK.items()
        for what in ("fill", "stroke")
    )
    return svg.replace("</style>", f"@media (prefers-color-scheme: dark){{{rules}}}</style>", 1)
