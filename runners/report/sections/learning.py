"""Learning curves: every run where there are few, else the mean with a band that holds for the whole curve.

The section also shows the plots of spread and of the split clock.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from runners.report.inputs import Inputs
from runners.report.metrics import COMPARED, CURVES, Metric
from runners.report.plots import WIDTH_INCHES, Look, Plot, legend_below, looks
from runners.report.section import Section
from runners.report.sections.clock import split_clock
from runners.report.sections.spread import distribution
from runners.report.statistics.means import simultaneous_band
from runners.report.tables import by_contender, completed

RUNS_FOR_A_BAND = 8
SEED = 0  # of the band's random signs: the same records give the same band
COLUMNS = ["contender", "track", "runs", "what", "run_id", "epoch", "value"]
BAND = "simultaneous 95 % band"
RUN, MEAN, LOW, HIGH = "run", "mean", "band low", "band high"
QUANTILES = {"5 % of runs": 0.05, "95 % of runs": 0.95}


def section(inputs: Inputs) -> Section:
    """Show learning curves, distributions over runs, and the split clock; keep the tables of runs and epochs."""
    epochs = inputs.epochs[inputs.epochs["run_id"].isin(completed(inputs.runs)["run_id"])]
    made = [
        *(learning_curves(epochs, metric) for metric in CURVES),
        *(distribution(inputs.runs, metric) for metric in COMPARED),
        split_clock(inputs.records),
    ]
    plots = [plot for plot in made if plot]
    note = (
        "A colour is a framework everywhere; a dash or a marker is a track, a strategy or a copy. The numbers of each"
        " plot are in the CSV file of its name, in `plots/`."
    )
    words = [] if plots else ["No run has completed."]
    data = {"epochs": inputs.epochs}
    return Section("plots", "Learning, spread and time", words, plots=plots, notes=[note], data=data)


def learning_curves(epochs: pd.DataFrame, metric: Metric) -> Plot | None:
    """Draw a metric's curves from the epochs table of completed runs; None without any."""
    data = _curves_table(epochs, metric.epoch_column)
    if data.empty:
        return None
    caption, alt = _caption(metric, set(data["what"])), _alt(metric, data)
    return Plot(metric.name, caption, alt, data, partial(_draw_curves, data, metric))


def _draw_curves(data: pd.DataFrame, metric: Metric) -> Figure:
    tracks, kinds = list(dict.fromkeys(data["track"])), set(data["what"])
    figure = Figure(figsize=(WIDTH_INCHES, 1 + 2.3 * len(tracks)), layout="constrained")
    panels = figure.subplots(len(tracks), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for (contender, track), look in looks(data).items():
        group = data[(data["contender"] == contender) & (data["track"] == track)]
        _draw(panels[tracks.index(track)], group, look)
    for axes, track in zip(panels, tracks, strict=True):
        axes.set_ylabel(metric.axis)
        if len(tracks) > 1:
            axes.set_title(track)
    last = panels[-1]
    if RUN in kinds:
        last.plot([], [], color="grey", linewidth=0.8, label="one run each")
    if LOW in kinds:
        last.fill_between([], [], [], color="grey", alpha=0.3, label=BAND)
        last.plot([], [], color="grey", linewidth=0.8, label="5 % and 95 % of runs")
    last.set_xlabel("epoch (passes over the training images)")
    last.xaxis.set_major_locator(MaxNLocator(integer=True))
    if metric.epoch_column == "train_seconds":
        last.set_ylim(bottom=0)
    legend_below(figure, panels, 2)
    return figure


def _curves_table(epochs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return everything that is drawn of each contender and track: the mean, with every run below 8 runs, else a band.

    The band is simultaneous: the true mean curve lies in it at every epoch at once, 95 % of the time. With it go the
    quantiles of the runs at each epoch. Mean, band and quantiles end where the shortest run ends.
    """
    rows = [
        {"contender": contender, "track": track, **row}
        for contender, track, runs in by_contender(epochs)
        for row in _rows(runs, column)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(runs: pd.DataFrame, column: str) -> Iterator[dict[str, Any]]:
    curves = runs.pivot_table(index="run_id", columns="epoch", values=column)
    whole = curves.dropna(axis="columns")
    values = whole.to_numpy()
    lines: list[tuple[str, str | None, pd.Series]] = []
    if len(curves) < RUNS_FOR_A_BAND:
        lines += [(RUN, str(run_id), curve.dropna()) for run_id, curve in curves.iterrows()]
        lines.append((MEAN, None, whole.mean()))
    else:
        mean, low, high = simultaneous_band(values, 0.95, np.random.default_rng(SEED))
        lines += [(what, None, pd.Series(y, whole.columns)) for what, y in ((MEAN, mean), (LOW, low), (HIGH, high))]
        lines += [(what, None, whole.quantile(q)) for what, q in QUANTILES.items()]
    for what, run_id, line in lines:
        for epoch, value in line.items():
            yield {"runs": len(curves), "what": what, "run_id": run_id, "epoch": epoch, "value": value}


def _draw(axes: Axes, group: pd.DataFrame, look: Look) -> None:
    for _, run in group[group["what"] == RUN].groupby("run_id", sort=False):
        axes.plot(run["epoch"], run["value"], color=look.colour, linestyle=look.dash, linewidth=0.8, alpha=0.5)
    of = {what: rows for what, rows in group.groupby("what") if what != RUN}
    if MEAN not in of:
        return
    label, marker = f"{look.name}, mean of {group['runs'].iloc[0]}", "o" if len(of[MEAN]) == 1 else None
    axes.plot(*_xy(of[MEAN]), color=look.colour, linestyle=look.dash, linewidth=2, label=label, marker=marker)
    if LOW in of:
        (x, low), (_, high) = _xy(of[LOW]), _xy(of[HIGH])
        axes.fill_between(x, low, high, color=look.colour, alpha=0.25, linewidth=0)
        for what in QUANTILES:
            axes.plot(*_xy(of[what]), color=look.colour, linestyle=look.dash, linewidth=0.8, alpha=0.7)


def _xy(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["epoch"].to_numpy(), rows["value"].to_numpy()


def _caption(metric: Metric, kinds: set[str]) -> str:
    caption = f"{metric.title} by epoch; the thick line is the mean over runs."
    if LOW in kinds:
        caption += (
            " Shaded is a simultaneous 95 % band: it is wide enough to hold the true mean at every epoch at once, not"
            " only at one. Thin lines are the 5 % and 95 % quantiles of the runs."
        )
    if RUN in kinds:
        caption += f" Thin lines are single runs, all of them: {RUNS_FOR_A_BAND} runs or more have a band instead."
    return caption


def _alt(metric: Metric, data: pd.DataFrame) -> str:
    ends = [
        f"{look.name} from {means['value'].iloc[0]:.3g} to {means['value'].iloc[-1]:.3g} over {means['runs'].iloc[0]}"
        " run(s)"
        for key, look in looks(data).items()
        if len(means := data[(data["contender"] == key[0]) & (data["track"] == key[1]) & (data["what"] == MEAN)])
    ]
    return f"{metric.title} by epoch, mean curves: {'; '.join(ends)}."
