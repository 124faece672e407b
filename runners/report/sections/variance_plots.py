"""Plots of the variance table: how far runs spread by what varied, and how the interval of their mean shrinks."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from runners.core.spec import Vary
from runners.report.columns import Row
from runners.report.metrics import BY_NAME
from runners.report.plots import INK, MUTED, WIDTH_INCHES, Look, Plot, legend_below, looks, replace_all
from runners.report.statistics.means import half_width
from runners.report.tables import by_contender
from runners.report.wording import SOURCES

RUNS_FORESEEN = (3, 5, 10, 20, 50, 100)
IDENTITY = ["vary", "contender", "track"]
SPREAD_COLUMNS = [*IDENTITY, "metric", "n", "unit", "sd", "sd_ci95_low", "sd_ci95_high"]
SHRINKING_COLUMNS = [*IDENTITY, "what", "runs", "half_width"]
FORESEEN, AT_HAND, ASKED_FOR = "foreseen", "at hand", "asked for"


def variance_plots(variance: pd.DataFrame) -> list[Plot]:
    """Draw what the variance table allows."""
    return [plot for plot in (_spread_plot(variance), _half_width_plot(variance)) if plot]


def draw_variance(variance: pd.DataFrame, folder: Path) -> list[Plot]:
    """Write the plots into folder/plots, in place of those of an earlier variance table."""
    plots = variance_plots(variance)
    replace_all(plots, folder / "plots", "variance*")
    return plots


def _spread_plot(variance: pd.DataFrame) -> Plot | None:
    """Draw each contender's SD over runs with its interval, by what varied, a panel a metric; None without an SD."""
    data = _spread_points(variance)
    if data.empty:
        return None
    caption = (
        "How far the runs of a contender spread, by what varied between them: standard deviation over runs, with its"
        " 95 % interval (chi-square, which supposes a normal distribution). Where nothing varied, what is left is"
        " nondeterminism."
    )
    alt = f"Standard deviation over runs. {'; '.join(_spreads(data))}."
    return Plot("variance", caption, alt, data, partial(_draw_spreads, data))


def _draw_spreads(data: pd.DataFrame) -> Figure:
    metrics, sources, styles = _seen(data, "metric"), _seen(data, "vary"), looks(data)
    height = len(sources) * max(0.5, 0.22 * len(styles))
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + len(metrics) * (0.8 + height)), layout="constrained")
    panels = figure.subplots(len(metrics), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, metrics, strict=True):
        metric = BY_NAME[name]
        _draw_spread(axes, data[data["metric"] == name], sources, styles)
        axes.set(title=metric.label, xlabel=f"SD over runs ({metric.spread_unit[0]})")
    legend_below(figure, panels, 2)
    return figure


def _spread_points(variance: pd.DataFrame) -> pd.DataFrame:
    """Return the SDs and intervals of the variance table, of accuracy in percentage points, of loss in nats.

    The SD of wild losses may be infinite: it is in the table, and not drawn.
    """
    values = variance[["sd", "sd_ci95_low", "sd_ci95_high"]].astype(float)
    finite = np.isfinite(values.fillna(0).to_numpy()).all(axis=1)
    rows = variance[variance["sd"].notna() & finite].copy()
    units = [BY_NAME[name].spread_unit for name in rows["metric"]]
    rows["unit"] = [unit for unit, _ in units]
    for column in ("sd", "sd_ci95_low", "sd_ci95_high"):
        rows[column] *= [scale for _, scale in units]
    return rows[SPREAD_COLUMNS].reset_index(drop=True)


def _half_width_plot(variance: pd.DataFrame) -> Plot | None:
    """Draw half the 95 % interval of the mean accuracy against the number of runs; None without an SD."""
    data = _half_width_points(variance)
    if data.empty:
        return None
    alt = f"Half-width of the mean accuracy's 95 % interval. {'; '.join(_half_widths(data))}."
    return Plot("variance_half_width", _caption(data), alt, data, partial(_draw_half_widths, data))


def _draw_half_widths(data: pd.DataFrame) -> Figure:
    sources, styles = _seen(data, "vary"), looks(data)
    figure = Figure(figsize=(WIDTH_INCHES, 1.3 + 1.9 * len(sources)), layout="constrained")
    panels = figure.subplots(len(sources), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, source in zip(panels, sources, strict=True):
        for contender, track, rows in by_contender(data[data["vary"] == source]):
            _draw_shrinking(axes, rows, styles[contender, track])
        axes.set_title(SOURCES[source])
        axes.set_ylabel("half-width\n(percentage points)")
    _name_marks(panels[-1], set(data["what"]))
    _count_runs(panels[-1], int(data["runs"].max()))
    legend_below(figure, panels, 2)
    return figure


def _half_width_points(variance: pd.DataFrame) -> pd.DataFrame:
    """Return everything that is drawn of each source, contender and track, half-widths in percentage points.

    `foreseen` are the half-widths of t intervals over `runs` that spread by the table's SD, `at hand` is that of the
    table; `asked for`, if a precision was, with the number of runs that it takes.
    """
    of_accuracy = variance[(variance["metric"] == "test_accuracy") & variance["half_width"].notna()]
    rows = [
        {**{name: row[name] for name in IDENTITY}, "what": what, "runs": runs, "half_width": 100 * half}
        for row in of_accuracy.to_dict("records")
        for what, runs, half in _marks(row)
    ]
    return pd.DataFrame(rows, columns=SHRINKING_COLUMNS)


def _marks(row: Row) -> Iterator[tuple[str, int, float]]:
    asked: int = int(row["runs_for_wanted"]) if pd.notna(row["runs_for_wanted"]) else 0
    last = max(RUNS_FORESEEN[-1], row["n"], asked)
    for runs in np.unique(np.geomspace(min(RUNS_FORESEEN[0], row["n"]), last, 60).round().astype(int)):
        half = half_width(row["sd"], int(runs))
        assert half is not None  # there are two runs at least
        yield FORESEEN, int(runs), half
    yield AT_HAND, row["n"], row["half_width"]
    if asked:
        yield ASKED_FOR, asked, row["wanted_half_width"]


def _draw_spread(axes: Axes, rows: pd.DataFrame, sources: list[Vary], styles: dict[tuple[str, str], Look]) -> None:
    step = 0.7 / len(styles)
    for place, ((contender, track), look) in enumerate(styles.items()):
        own = rows[(rows["contender"] == contender) & (rows["track"] == track)]
        y = np.array([sources.index(source) for source in own["vary"]]) + step * (place - (len(styles) - 1) / 2)
        apart = np.abs(own[["sd_ci95_low", "sd_ci95_high"]].to_numpy().T - own["sd"].to_numpy())
        # An SD of exactly 0 lies on the axis, and is seen whole.
        style: dict[str, Any] = {"color": look.colour, "markersize": 5, "capsize": 3, "clip_on": False}
        axes.errorbar(own["sd"], y, xerr=apart, fmt=look.marker, label=look.name, **style)
    for between in range(1, len(sources)):
        axes.axhline(between - 0.5, color=MUTED, linewidth=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.set_xlim(0, 1.05 * rows["sd_ci95_high"].max() or 1)
    axes.set_yticks(range(len(sources)), [fill(SOURCES[source].partition(" (")[0], 14) for source in sources])
    axes.set_ylim(len(sources) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _draw_shrinking(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    of = dict(list(rows.groupby("what")))
    curve, here = of[FORESEEN], of[AT_HAND]
    axes.plot(curve["runs"], curve["half_width"], color=look.colour, linestyle=look.dash, label=look.name)
    axes.plot(here["runs"], here["half_width"], look.marker, color=look.colour, markersize=6, clip_on=False)
    if ASKED_FOR in of:
        asked = of[ASKED_FOR]
        axes.axhline(asked["half_width"].iloc[0], color=INK, linestyle=":", linewidth=1)
        axes.plot(asked["runs"], asked["half_width"], look.marker, color=look.colour, markerfacecolor="none")


def _name_marks(axes: Axes, kinds: set[str]) -> None:
    axes.plot([], [], "o", color=MUTED, label="runs at hand")
    if ASKED_FOR in kinds:
        axes.plot([], [], "o:", color=MUTED, markerfacecolor="none", label="asked for")


def _count_runs(axes: Axes, last: int) -> None:
    powers = [3, *(10**power for power in range(1, len(str(last)) + 1))]
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(RUNS_FORESEEN if last <= RUNS_FORESEEN[-1] else powers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("runs of a contender (number of seeds)")


def _caption(data: pd.DataFrame) -> str:
    caption = (
        "How the 95 % interval of a mean test accuracy shrinks with runs: half its width, were there so many runs that"
        " spread like these. A filled marker is the interval at hand."
    )
    if ASKED_FOR not in set(data["what"]):
        return caption
    return (
        f"{caption} Dotted is the precision asked for; a hollow marker shows how many runs it takes, pilot and top-up."
        " Markers go by the pilot's spread and t quantile (Stein 1945), curves by the spread of all runs, in studies"
        " planned at that size: they may lie apart."
    )


def _spreads(data: pd.DataFrame) -> Iterator[str]:
    for row in data.to_dict("records"):
        interval = f"{row['sd_ci95_low']:.2g} to {row['sd_ci95_high']:.2g}"
        source, contender = SOURCES[row["vary"]], f"{row['contender']} {row['track']}"
        sd = f"{BY_NAME[row['metric']].label.lower()}, {source}, {contender}: {row['sd']:.2g} {row['unit']}"
        yield f"{sd}, 95 % interval {interval}, of {row['n']} runs"


def _half_widths(data: pd.DataFrame) -> Iterator[str]:
    asked = {_identity(row): row for row in data[data["what"] == ASKED_FOR].to_dict("records")}
    for row in data[data["what"] == AT_HAND].to_dict("records"):
        name = f"{SOURCES[row['vary']]}, {row['contender']} {row['track']}"
        half = f"{name}: {row['half_width']:.2g} percentage points over {row['runs']} runs"
        wanted = asked.get(_identity(row))
        yield f"{half}, and {wanted['half_width']:g} takes {wanted['runs']}" if wanted else half


def _identity(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in IDENTITY)


def _seen(data: pd.DataFrame, column: str) -> list[Any]:
    return list(dict.fromkeys(data[column]))
