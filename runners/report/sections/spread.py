"""Distributions over runs: every run as a dot where there are few, and quantiles where there are enough runs."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runners.report.metrics import Metric
from runners.report.plots import Look, Plot, looks, new_figure
from runners.report.tables import by_contender, completed

RUNS_AS_DOTS = 60
RUNS_FOR_QUANTILES = 8
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
COLUMNS = ["contender", "track", "runs", "what", "value"]
RUN, QUANTILE = "run", "quantile"


def distribution(runs: pd.DataFrame, metric: Metric) -> Plot | None:
    """Draw a metric over completed runs; None without any."""
    data = _distribution_table(runs, metric.name)
    if data.empty:
        return None
    kinds = set(data["what"].str.partition(" ")[0])
    caption, alt = _caption(metric, kinds), _alt(metric, data)
    return Plot(f"distribution_{metric.name}", caption, alt, data, partial(_draw_distribution, data, metric))


def _draw_distribution(data: pd.DataFrame, metric: Metric) -> Figure:
    groups = looks(data)
    figure, axes = new_figure(1.0 + 0.45 * len(groups))
    for place, ((contender, track), look) in enumerate(groups.items()):
        _draw(axes, data[(data["contender"] == contender) & (data["track"] == track)], look, place)
    axes.set_yticks(range(len(groups)), [look.name for look in groups.values()])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(metric.axis)
    return figure


def _distribution_table(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return what is drawn of each contender and track: up to 60 runs each of them, from 8 on their quantiles."""
    rows = []
    for contender, track, group in by_contender(completed(runs).dropna(subset=column)):
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


def _caption(metric: Metric, kinds: set[str]) -> str:
    caption = f"{metric.title} of the runs that completed."
    if RUN in kinds:
        caption += " A dot is a run, moved up or down only so that all are seen."
    if QUANTILE in kinds:
        caption += " The box holds the middle half of the runs, the bar the median, the line 5 % to 95 %."
    return caption


def _alt(metric: Metric, data: pd.DataFrame) -> str:
    texts = []
    for (contender, track), look in looks(data).items():
        values = data.loc[(data["contender"] == contender) & (data["track"] == track), ["runs", "value"]]
        low, high = values["value"].min(), values["value"].max()
        texts.append(f"{look.name}, {values['runs'].iloc[0]} run(s), drawn from {low:.4g} to {high:.4g}")
    return f"Distribution of {metric.title.lower()}: {'; '.join(texts)}."
