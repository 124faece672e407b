"""Distributions over runs: every run as a dot where there are few, and quantiles where they carry something."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from runners.report.plots import Look, Plot, looks, new_figure

RUNS_AS_DOTS = 60
RUNS_FOR_QUANTILES = 8
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MEASURES = {
    "test_accuracy": "test accuracy (fraction of images)",
    "test_loss": "test loss (nats)",
    "train_seconds": "training time (seconds per run)",
    "total_seconds": "total time (seconds per run)",
}
COLUMNS = ["contender", "track", "runs", "what", "value"]
RUN, QUANTILE = "run", "quantile"


def distribution(runs: pd.DataFrame, column: str) -> Plot | None:
    """The plot of a column of the runs table over completed runs; None without any."""
    data = distribution_table(runs, column)
    if data.empty:
        return None
    groups = looks(data)
    figure, axes = new_figure(1.0 + 0.45 * len(groups))
    for place, ((contender, track), look) in enumerate(groups.items()):
        _draw(axes, data[(data["contender"] == contender) & (data["track"] == track)], look, place)
    axes.set_yticks(range(len(groups)), [look.name for look in groups.values()])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(MEASURES[column])
    kinds = set(data["what"].str.partition(" ")[0])
    return Plot(f"distribution_{column}", _caption(column, kinds), _alt(column, data), figure, data)


def distribution_table(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """All that is drawn of each contender and track: up to 60 runs each of them, from 8 on their quantiles."""
    completed = runs[(runs["status"] == "completed") & runs[column].notna()]
    rows = []
    for (contender, track), group in completed.groupby(["contender", "track"], sort=False):
        values = group[column].astype(float)
        marks = [(RUN, float(value)) for value in values] if len(values) <= RUNS_AS_DOTS else []
        if len(values) >= RUNS_FOR_QUANTILES:
            marks += [(f"{QUANTILE} {q:g}", float(values.quantile(q))) for q in QUANTILES]
        rows += [(contender, track, len(values), what, value) for what, value in marks]
    return pd.DataFrame(rows, columns=COLUMNS)


def _draw(axes: Axes, group: pd.DataFrame, look: Look, place: int) -> None:
    dots = group.loc[group["what"] == RUN, "value"].to_numpy()
    quantiles = group.loc[group["what"] != RUN, "value"].to_numpy()
    if len(quantiles):
        low, first, median, third, high = quantiles
        axes.plot([low, high], [place] * 2, color=look.colour, linewidth=1)
        axes.barh(place, third - first, left=first, height=0.5, color=look.colour, alpha=0.3, linewidth=0)
        axes.plot([median] * 2, [place - 0.25, place + 0.25], color=look.colour, linewidth=2.5)
    # Spread by hand, by the golden ratio, so that equal values stay apart and the same records give the same file.
    shift = 0.36 * ((np.arange(len(dots)) * 0.6180339887) % 1 - 0.5)
    axes.scatter(dots, place + shift, s=14, color=look.colour, marker=look.marker, alpha=0.8, linewidths=0)


def _caption(column: str, kinds: set[str]) -> str:
    told = f"{_title(column)} of the runs that completed."
    if RUN in kinds:
        told += " A dot is a run, moved up or down only so that all are seen."
    if QUANTILE in kinds:
        told += " The box holds the middle half of the runs, the bar the median, the line 5 % to 95 %."
    return told


def _alt(column: str, data: pd.DataFrame) -> str:
    told = []
    for (contender, track), look in looks(data).items():
        values = data.loc[(data["contender"] == contender) & (data["track"] == track), ["runs", "value"]]
        low, high = values["value"].min(), values["value"].max()
        told.append(f"{look.name}, {values['runs'].iloc[0]} run(s), drawn from {low:.4g} to {high:.4g}")
    return f"Distribution of {_title(column).lower()}: {'; '.join(told)}."


def _title(column: str) -> str:
    return MEASURES[column].partition(" (")[0].capitalize()
