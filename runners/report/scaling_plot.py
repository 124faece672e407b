"""Seconds per epoch against replicas, with what they would be if nothing were lost."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from runners.report.plots import COLOURS, DASHES, MUTED, Plot, legend_below, new_figure
from runners.report.wording import counted

DRAWN = ["epoch_seconds", "epoch_seconds_ci95_low", "epoch_seconds_ci95_high", "ideal_epoch_seconds"]
COLUMNS = ["framework", "contender", "track", "scaling", "replicas", "n", *DRAWN]


def scaling_plot(table: pd.DataFrame) -> Plot | None:
    """The scaling table drawn; None without completed runs."""
    points = scaling_points(table)
    if points.empty:
        return None
    caption = (
        "Training seconds per epoch against replicas, with 95 % t intervals over seeds, and what they would be if"
        " nothing were lost."
    )
    alt = "; ".join(
        f"{name}: {row.epoch_seconds:.1f} s with {counted(int(str(row.replicas)), 'replica')}"
        for name, rows in _lines(points)
        for row in rows.itertuples()
    )
    return Plot("scaling", caption, f"Training seconds per epoch. {alt}.", scaling_figure(points), points)


def scaling_points(table: pd.DataFrame) -> pd.DataFrame:
    """What is drawn of each contender: `ideal_epoch_seconds` are its baseline's over the ratio of replicas."""
    timed = table[table["epoch_seconds"].notna()]
    bases = timed[timed["contender"] == timed["baseline"]].set_index(["framework", "track"])
    ideal = [
        bases.loc[key, "epoch_seconds"] * bases.loc[key, "replicas"] / replicas if key in bases.index else np.nan
        for *key_parts, replicas in timed[["framework", "track", "replicas"]].itertuples(index=False, name=None)
        for key in [tuple(key_parts)]
    ]
    return timed.assign(ideal_epoch_seconds=ideal)[COLUMNS]


def scaling_figure(points: pd.DataFrame) -> Figure:
    """A line a framework, track and strategy, with 95 % t intervals, and the ideal beside each framework's."""
    figure, axes = new_figure(3.4)
    for index, (name, rows) in enumerate(_lines(points)):
        colour, dash = COLOURS[rows["framework"].iloc[0]], DASHES[index % len(DASHES)]
        ends = rows[["epoch_seconds_ci95_low", "epoch_seconds_ci95_high"]].to_numpy().T
        apart = np.abs(np.nan_to_num(ends - rows["epoch_seconds"].to_numpy()))
        axes.errorbar(
            rows["replicas"],
            rows["epoch_seconds"],
            apart,
            color=colour,
            linestyle=dash,
            marker="o",
            capsize=3,
            label=name,
        )
        _draw_ideal(axes, rows)
    axes.plot([], [], color=MUTED, linestyle=":", label="ideal: 1/N of the first")
    replicas = sorted(set(points["replicas"]))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(replicas))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(bottom=0)
    axes.set(xlabel="replicas (count)", ylabel="training seconds per epoch")
    legend_below(figure, [axes], 2)
    return figure


def _draw_ideal(axes: Axes, rows: pd.DataFrame) -> None:
    first, last = rows["replicas"].iloc[0], rows["replicas"].iloc[-1]
    if first < last and not np.isnan(rows["ideal_epoch_seconds"].iloc[0]):
        along = np.geomspace(first, last)
        axes.plot(along, rows["ideal_epoch_seconds"].iloc[0] * first / along, color=MUTED, linestyle=":", linewidth=1)


def _lines(points: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Label and points of each line, from the framework's smallest contender on; copies have lines of their own."""
    tracks = points["track"].nunique()
    kinds = points["contender"].str.replace(r":\d+", "", regex=True)
    for (_, track), rows in points.groupby(["framework", "track"], sort=False):
        ordered = rows.sort_values("replicas", kind="stable")
        first, others = ordered.iloc[:1], ordered.iloc[1:]
        if others.empty:
            yield _label(str(first["contender"].iloc[0]), str(track), tracks), first
        for kind, of_kind in others.groupby(kinds[others.index], sort=False):
            yield _label(str(kind), str(track), tracks), pd.concat([first, of_kind])


def _label(name: str, track: str, tracks: int) -> str:
    return f"{name} {track}" if tracks > 1 else name
