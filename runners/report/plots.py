"""The plots, as PNG and SVG. One colour per framework everywhere, one dash pattern per track, strategy or copy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runners.registry import FRAMEWORKS
from runners.report.statistics import pointwise_band
from runners.spec import Contender

# Okabe and Ito (2008): told apart with every kind of colour vision, and in grey.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
COLOURS = dict(zip(FRAMEWORKS, OKABE_ITO, strict=False))
DASHES = ("-", "--", ":", "-.")
COMPACT: dict[str, Any] = {"fontsize": 8, "columnspacing": 1.0, "handlelength": 1.0, "handletextpad": 0.4}
STAGES = ("startup", "import", "data", "build", "compile", "train", "eval", "checkpoint", "other")
STAGE_COLOURS = ("#BBBBBB", "#E69F00", "#F0E442", "#56B4E9", "#CC79A7", "#0072B2", "#009E73", "#000000", "#DDDDDD")

CURVES = {
    "train_loss": "train loss",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "train_seconds": "training seconds per epoch",
}
# Four inches wide with 11-point type: still legible when a page shrinks it to 400 pixels.
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "level-field",  # the same records give the same file
    "figure.dpi": 100,
    "savefig.dpi": 200,
}


def draw_all(epochs: pd.DataFrame, clocks: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw every plot that the completed runs allow; returns the PNG files, each with an SVG beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if epochs.empty:
        return []
    drawn: list[Path] = []
    with mpl.rc_context(STYLE):
        for column, label in CURVES.items():
            name = "seconds_per_epoch" if column == "train_seconds" else column
            drawn.append(save(learning_curves(epochs, column, label), folder / f"{name}.png"))
        drawn.append(save(split_clock(clocks), folder / "split_clock.png"))
    return drawn


def learning_curves(epochs: pd.DataFrame, column: str, label: str) -> Figure:
    """Every run thin, their mean thick, and a band whose legend says what it is."""
    figure = Figure(figsize=(4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    banded = False
    for name, colour, dash, runs in _groups(epochs):
        curves = runs.pivot_table(index="run_id", columns="epoch", values=column)
        axes.plot(curves.columns, curves.to_numpy().T, color=colour, linestyle=dash, linewidth=0.6, alpha=0.5)
        banded |= _mean_and_band(axes, curves.dropna(axis="columns"), f"{name}, mean of {len(curves)}", colour, dash)
    if banded:
        axes.fill_between([], [], [], color="grey", alpha=0.25, label="pointwise 95 % t interval of the mean")
    axes.plot([], [], color="grey", linewidth=0.6, label="one run each")
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if column == "train_seconds":
        axes.set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, **COMPACT)
    return figure


def _mean_and_band(axes: Axes, curves: pd.DataFrame, label: str, colour: str, dash: str) -> bool:
    """Over the epochs that all runs reached; returns whether there were runs enough for a band."""
    if curves.empty:
        return False
    mean, low, high = pointwise_band(curves.to_numpy())
    marker = "o" if curves.shape[1] == 1 else None
    axes.plot(curves.columns, mean, color=colour, linestyle=dash, linewidth=2.2, label=label, marker=marker)
    if not np.isfinite(low).all():
        return False
    axes.fill_between(curves.columns, low, high, color=colour, alpha=0.2, linewidth=0)
    return True


def split_clock(clocks: pd.DataFrame) -> Figure:
    """Where a run's seconds go, mean over runs, stage by stage."""
    means = clocks.groupby(["contender", "track"], sort=False)[[f"{stage}_seconds" for stage in STAGES]].mean()
    figure = Figure(figsize=(4, 1.9 + 0.45 * len(means)), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{contender}, {track}" for contender, track in means.index]
    left = np.zeros(len(means))
    for stage, colour in zip(STAGES, STAGE_COLOURS, strict=True):
        seconds = means[f"{stage}_seconds"].to_numpy()
        axes.barh(names, seconds, left=left, color=colour, edgecolor="white", linewidth=0.4, label=stage)
        left += seconds
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f} s", va="center")
    axes.set(xlabel="seconds a run, mean", xlim=(0, left.max() * 1.18))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, **COMPACT)
    return figure


def _groups(epochs: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Label, colour, dash and rows of each contender and track."""
    frameworks = {name: Contender.model_validate(name).framework for name in epochs["contender"].unique()}
    # What tells contenders of one framework apart, in one track: "", "#2", ":ddp:2", in this order.
    kinds = {name: name.removeprefix(framework) for name, framework in frameworks.items()}
    variants = sorted(set(zip(epochs["track"], epochs["contender"].map(kinds), strict=True)))
    tracks = epochs["track"].nunique()
    for (name, track), rows in epochs.groupby(["contender", "track"], sort=False):
        dash = DASHES[variants.index((str(track), kinds[str(name)])) % len(DASHES)]
        yield f"{name} {track}" if tracks > 1 else str(name), COLOURS[frameworks[str(name)]], dash, rows


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG at `path`, and as SVG beside it."""
    figure.savefig(path)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    return path
