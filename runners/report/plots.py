"""What all plots share: one colour per framework everywhere, one dash and marker per track, strategy or copy.

A plot is drawn from one table and nothing else; that table is written beside it as CSV.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import Contender
from runners.core.store import write_atomically
from runners.report.metrics import COMPARED, CURVES

COLOURS = {name: framework.colour for name, framework in FRAMEWORKS.items()}
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
# Colours of everything that does not belong to one framework; a dark page swaps them for light ones.
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


# The files that this package draws. Only these may be deleted, once no plot is drawn into them.
OURS = re.compile(
    rf"({'|'.join([*(m.name for m in CURVES), *(f'distribution_{m.name}' for m in COMPARED)])}|differences"
    rf"|pairs_({'|'.join(m.name for m in COMPARED if m.headline)})(_\d+)?|split_clock|scaling|variance(_half_width)?"
    r"|divergence)\.(png|svg|csv)"
)


@dataclass(frozen=True)
class Plot:
    """A figure, drawn when it is first needed, with the words that go with it and the table that it is drawn from."""

    name: str  # of its files
    caption: str  # what is drawn, and how to read it
    alt: str  # the content in words, for readers who do not see it
    data: pd.DataFrame
    draw: Callable[[], Figure]

    @cached_property
    def figure(self) -> Figure:
        """The figure, in the style of all plots."""
        with mpl.rc_context(STYLE):
            return self.draw()


@dataclass(frozen=True)
class Look:
    """How a contender's runs on a track are drawn and called."""

    name: str
    colour: str
    dash: str
    marker: str


def looks(table: pd.DataFrame) -> dict[tuple[str, str], Look]:
    """Return the look of each contender and track in a table that has these columns, in its order."""
    groups = list(dict.fromkeys(table[["contender", "track"]].itertuples(index=False, name=None)))
    frameworks = {contender: Contender.model_validate(contender).framework for contender, _ in groups}
    # The part of a name by which contenders of one framework differ: "", "#2", ":ddp:2", in this order.
    kinds = {contender: contender.removeprefix(framework) for contender, framework in frameworks.items()}
    variants = sorted({(track, kinds[contender]) for contender, track in groups})
    one_track = len({track for _, track in groups}) == 1
    styles = {}
    for contender, track in groups:
        place = variants.index((track, kinds[contender])) % len(DASHES)
        name = contender if one_track else f"{contender} {track}"
        styles[contender, track] = Look(name, COLOURS[frameworks[contender]], DASHES[place], MARKERS[place])
    return styles


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """Return a figure of one column's width, and its one pair of axes."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=5, steps=[1, 2, 5, 10])
    )  # steps of 2.5 would have longer labels, which overlap
    return figure, axes


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """Draw one legend of all panels below them, where it hides nothing."""
    entries: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries}
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns, **COMPACT)


def save(plot: Plot, folder: Path) -> Path:
    """Write a plot as PNG, SVG and CSV, the table that it was drawn from; return the PNG's path.

    The PNG is on white. The SVG has no background, and its ink is light where a dark page, or a dark screen, shows it.
    """
    path, png, svg = folder / f"{plot.name}.png", io.BytesIO(), io.StringIO()
    with mpl.rc_context(STYLE):
        plot.figure.savefig(png)
        plot.figure.set_layout_engine("none")  # the layout is done, and is the same in the other file
        plot.figure.savefig(svg, format="svg", metadata={"Date": None}, transparent=True)
    write_atomically(path, png.getvalue())
    write_atomically(path.with_suffix(".svg"), _for_light_and_dark(svg.getvalue()).encode())
    write_atomically(path.with_suffix(".csv"), plot.data.to_csv(index=False).encode())
    return path


def replace_all(plots: Sequence[Plot], folder: Path, among: str = "*") -> None:
    """Write the plots, then delete those of an earlier report whose names match `among`.

    No plot may outlive the records that it shows. Only files that this package draws are deleted, and none through a
    link.
    """
    for plot in plots:
        save(plot, folder)
    names = {plot.name for plot in plots}
    for path in [] if folder.is_symlink() else folder.glob(among):
        if OURS.fullmatch(path.name) and path.stem not in names and path.is_file() and not path.is_symlink():
            path.unlink()


def _for_light_and_dark(svg: str) -> str:
    """Add rules that replace dark ink; Matplotlib writes each colour into each element's style."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in IN_THE_DARK.items()
        for what in ("fill", "stroke")
    )
    return svg.replace("</style>", f"@media (prefers-color-scheme: dark){{{rules}}}</style>", 1)
