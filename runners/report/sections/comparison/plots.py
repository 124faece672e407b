"""Plots of differences: all comparisons against their margins, and the pairs of runs that one seed makes."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runners.report.metrics import BY_NAME, Metric
from runners.report.plots import INK, MUTED, WIDTH_INCHES, Plot, legend_below, looks, new_figure
from runners.report.tables import completed
from runners.report.wording import ABSENT, allowed, amount, interval

SEEDS_AS_DOTS = 40  # more rows than that are not legible
BINS = 40
INTERVALS = ("difference", "ci95_low", "ci95_high", "ci90_low", "ci90_high")
FOREST_COLUMNS = ["metric", "track", "a", "b", "unit", *INTERVALS, "margin_low", "margin_high"]


def forest(comparisons: pd.DataFrame, metrics: tuple[Metric, ...]) -> Plot | None:
    """Draw every comparison's difference with its intervals, one panel a metric; None if nothing was compared."""
    compared = _drawable(comparisons)
    if compared.empty:
        return None
    data = _forest_table(compared)
    shown = [metric for metric in metrics if (data["metric"] == metric.name).any()]
    caption = (
        "Differences with their intervals, against the margins declared before the first run (shaded). An interval"
        " wholly inside the shading shows equivalence, one wholly outside it a difference that matters; anything else"
        " leaves something open. Equivalence is judged by the thick 90 % interval, a difference by the thin 95 % one."
        " Points are percentage points. Each row names the reference last; right of zero the other's value is larger."
    )
    alt = _forest_alt(compared, {metric.name: metric for metric in shown})
    return Plot("differences", caption, alt, data, partial(_draw_forest, data, shown))


def _forest_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the comparisons table with each number as a reader sees it, in its unit."""
    metrics = [BY_NAME[name] for name in compared["metric"]]
    rows = compared.assign(unit=[metric.unit for metric in metrics])
    for column in INTERVALS:
        rows[column] = [metric.shown(value) for metric, value in zip(metrics, rows[column].astype(float), strict=True)]
    margins = [metric.allowed(margin) for metric, margin in zip(metrics, rows["margin"], strict=True)]
    rows[["margin_low", "margin_high"]] = np.array(margins, float)
    return rows[FOREST_COLUMNS].reset_index(drop=True)


def _drawable(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a difference and finite numbers; the interval of two wild runs may reach to infinity."""
    values = comparisons[list(INTERVALS)].astype(float)
    finite = np.isfinite(values.fillna(0).to_numpy()).all(axis=1)
    return comparisons[values["difference"].notna() & finite]


def _draw_forest(data: pd.DataFrame, metrics: list[Metric]) -> Figure:
    rows = [int((data["metric"] == metric.name).sum()) for metric in metrics]
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + sum(0.85 + 0.36 * n for n in rows)), layout="constrained")
    panels = figure.subplots(len(metrics), 1, squeeze=False, height_ratios=[n + 1 for n in rows])[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_panel(axes, data[data["metric"] == metric.name], metric)
    legend_below(figure, panels, 3)
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, metric: Metric) -> None:
    low, high = rows[["margin_low", "margin_high"]].iloc[0]
    axes.axvspan(low, high, color=MUTED, alpha=0.18, linewidth=0, label="within the margin")
    axes.axvline(0, color=MUTED, linewidth=0.8)
    names, several_tracks = [], len(set(rows["track"])) > 1
    for place, row in enumerate(rows.to_dict("records")):
        axes.plot([row["ci95_low"], row["ci95_high"]], [place] * 2, color=INK, linewidth=1)
        axes.plot([row["ci90_low"], row["ci90_high"]], [place] * 2, color=INK, linewidth=3, solid_capstyle="butt")
        axes.plot([row["difference"]], [place], "o", color=INK, markersize=6)
        name = _pair(row["a"], row["b"], metric)
        names.append(f"{name}\n{row['track']}" if several_tracks else name)
    axes.plot([], [], "o-", color=INK, linewidth=1, label="mean, 95 %")
    axes.plot([], [], color=INK, linewidth=3, label="90 % interval")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    reach = np.nanmax(np.abs([*rows[list(INTERVALS)].to_numpy(float).ravel(), low, high]))
    axes.set_xlim(-1.1 * reach, 1.1 * reach)
    axes.set_title(metric.label)
    axes.set_xlabel(f"difference ({rows['unit'].iloc[0]})")


def _pair(a: str, b: str, metric: Metric) -> str:
    return f"{b} {'/' if metric.ratio else '-'} {a}"


def _forest_alt(compared: pd.DataFrame, metrics: dict[str, Metric]) -> str:
    texts = []
    for row in compared.to_dict("records"):
        metric = metrics[row["metric"]]
        between = interval(row["ci95_low"], row["ci95_high"], metric)
        texts.append(
            f"{metric.label}, {row['track']}, {_pair(row['a'], row['b'], metric)}: {amount(row['difference'], metric)}"
            f"{'' if between == ABSENT else f', 95 % interval {between}'}, margin {allowed(row['margin'], metric)}"
        )
    return f"Differences against their margins. {'; '.join(texts)}."


def paired_runs(runs: pd.DataFrame, comparisons: pd.DataFrame, metric: Metric) -> list[Plot]:
    """Draw what each seed gave each contender, one plot for each group of contenders whose runs of one seed are pairs.

    Up to 40 seeds there is a row a seed; beyond, a histogram of the pairs' differences for each two contenders.
    """
    plots: list[Plot] = []
    for values in _paired_tables(runs, comparisons, metric):
        name = f"pairs_{metric.name}{f'_{len(plots) + 1}' if plots else ''}"
        make = _histograms if len(values) > SEEDS_AS_DOTS else _dots
        plots.append(make(name, values, metric))
    return plots


def _paired_tables(runs: pd.DataFrame, comparisons: pd.DataFrame, metric: Metric) -> list[pd.DataFrame]:
    """Return values by seed (rows) and contender (columns), a table for each group of contenders that are paired.

    Contenders that failed the parity audit, or that had batches of another size, are in no group or in one of their
    own. A seed is there if at least two of the group completed it; a contender that did not has NaN.
    """
    rows = comparisons[comparisons["paired"].astype(bool) & (comparisons["metric"] == metric.name)]
    tables: list[pd.DataFrame] = []
    seen: set[str] = set()
    for (track, first), pairs in rows.groupby(["track", "a"], sort=False):
        if first in seen:
            continue
        group = [first, *pairs["b"]]
        seen.update(group)
        of_track = completed(runs[runs["track"] == track])
        of_group = of_track[of_track["contender"].isin(group)]
        values = of_group.astype({metric.name: float})
        table = values.pivot_table(index="seed", columns="contender", values=metric.name)
        table = table[[name for name in group if name in table]].dropna(thresh=2).dropna(axis="columns", how="all")
        if len(table):
            tables.append(table)
    return tables


def _dots(name: str, values: pd.DataFrame, metric: Metric) -> Plot:
    data = values.reset_index().melt("seed", var_name="contender", value_name=metric.name).dropna(ignore_index=True)
    data.insert(1, "track", "matched")
    caption = (
        f"{metric.label}, seed by seed. The dots that a line joins are runs of one seed: the same initial weights and"
        " the same batches. What a comparison judges is the lengths of these lines, and whether they point one way."
    )
    means = data.groupby("contender", sort=False)[metric.name].mean()
    texts = "; ".join(f"{contender} {mean:.4g} on average" for contender, mean in means.items())
    alt = f"{metric.label} of {len(values)} seeds, a dot for each contender: {texts}."
    return Plot(name, caption, alt, data, partial(_draw_dots, data, list(values.index), metric))


def _draw_dots(data: pd.DataFrame, seeds: list[int], metric: Metric) -> Figure:
    figure, axes = new_figure(1.4 + 0.19 * len(seeds))
    places = data["seed"].map({seed: place for place, seed in enumerate(seeds)})
    ends = data.groupby("seed")[metric.name].agg(["min", "max"])
    axes.hlines(range(len(seeds)), ends["min"], ends["max"], color=MUTED, linewidth=1, zorder=1)
    for (contender, _), look in looks(data).items():
        own = data["contender"] == contender
        style: dict[str, Any] = {"color": look.colour, "marker": look.marker, "s": 26, "label": look.name}
        axes.scatter(data.loc[own, metric.name], places[own], **style)
    axes.set_yticks(range(len(seeds)), map(str, seeds))
    axes.set_ylim(len(seeds) - 0.5, -0.5)
    axes.set(xlabel=metric.axis, ylabel="seed (number)")
    legend_below(figure, [axes], 3)
    return figure


def _histograms(name: str, values: pd.DataFrame, metric: Metric) -> Plot:
    first, *others = values.columns
    rows: list[dict[str, Any]] = []
    for other in others:
        a, b = (values.loc[values[other].notna() & values[first].notna(), side] for side in (first, other))
        counts, edges = np.histogram([metric.shown(x) for x in (b / a if metric.ratio else b - a)], bins=BINS)
        rows += [
            {"a": first, "b": other, "unit": metric.unit, "from": low, "to": high, "pairs": count}
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        ]
    data = pd.DataFrame(rows)
    caption = (
        f"{metric.label}: how far the two runs of one seed are apart, over {len(values):,} seeds. More than"
        f" {SEEDS_AS_DOTS} seeds are drawn as a histogram."
    )
    alt = f"Histogram of the differences of {metric.label.lower()} from {first}'s within {len(values):,} seeds."
    return Plot(name, caption, alt, data, partial(_draw_histograms, data, metric))


def _draw_histograms(data: pd.DataFrame, metric: Metric) -> Figure:
    figure, axes = new_figure(3)
    for (first, other), bins in data.groupby(["a", "b"], sort=False):
        look = looks(pd.DataFrame({"contender": [other], "track": ["matched"]}))[str(other), "matched"]
        edges, label = [*bins["from"], bins["to"].iloc[-1]], _pair(str(first), str(other), metric)
        axes.stairs(bins["pairs"], edges, fill=True, alpha=0.5, color=look.colour, label=label)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set(xlabel=f"difference within a seed ({metric.unit})", ylabel="seeds (count)")
    legend_below(figure, [axes], 2)
    return figure
