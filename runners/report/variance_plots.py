"""Plots of the variance table: how far runs spread by what varied, and how the interval of their mean shrinks."""

from collections.abc import Iterator
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from runners.core.spec import Vary
from runners.report.plots import INK, MUTED, WIDTH_INCHES, Look, Plot, legend_below, looks
from runners.report.precision import RUNS_FORESEEN, foreseen
from runners.report.wording import SOURCES

# Title, unit, and by what a value of the table is multiplied for it.
MEASURED = {"test_accuracy": ("Test accuracy", "percentage points", 100), "test_loss": ("Test loss", "nats", 1)}
IDENTITY = ["vary", "contender", "track"]
SPREAD_COLUMNS = [*IDENTITY, "metric", "n", "unit", "sd", "sd_ci95_low", "sd_ci95_high"]
SHRINKING_COLUMNS = [*IDENTITY, "what", "runs", "half_width"]
FORESEEN, AT_HAND, ASKED_FOR = "foreseen", "at hand", "asked for"


def variance_plot(variance: pd.DataFrame) -> Plot | None:
    """Each contender's SD over runs with its interval, by what varied, a panel a metric; None without an SD."""
    data = variance_points(variance)
    if data.empty:
        return None
    metrics, sources, styles = _seen(data, "metric"), _seen(data, "vary"), looks(data)
    height = len(sources) * max(0.5, 0.22 * len(styles))
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + len(metrics) * (0.8 + height)), layout="constrained")
    panels = figure.subplots(len(metrics), 1, squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_spread(axes, data[data["metric"] == metric], sources, styles)
        axes.set(title=MEASURED[metric][0], xlabel=f"SD over runs ({MEASURED[metric][1]})")
    legend_below(figure, panels, 2)
    caption = (
        "How far the runs of a contender spread, by what varied between them: standard deviation over runs, with its"
        " 95 % interval (chi-square, which supposes a normal distribution). Where nothing varied, what is left is"
        " nondeterminism."
    )
    return Plot("variance", caption, f"Standard deviation over runs. {'; '.join(_told(data))}.", figure, data)


def variance_points(variance: pd.DataFrame) -> pd.DataFrame:
    """What is drawn of the variance table: SDs and intervals, of accuracy in percentage points, of loss in nats."""
    rows = variance[variance["sd"].notna()].copy()
    rows["unit"] = [MEASURED[metric][1] for metric in rows["metric"]]
    for column in ("sd", "sd_ci95_low", "sd_ci95_high"):
        rows[column] *= [MEASURED[metric][2] for metric in rows["metric"]]
    return rows[SPREAD_COLUMNS].reset_index(drop=True)


def half_width_plot(variance: pd.DataFrame) -> Plot | None:
    """Half the 95 % interval of the mean accuracy against the number of runs, a panel a source; None without an SD."""
    data = half_width_points(variance)
    if data.empty:
        return None
    sources, styles = _seen(data, "vary"), looks(data)
    figure = Figure(figsize=(WIDTH_INCHES, 1.3 + 1.9 * len(sources)), layout="constrained")
    panels = figure.subplots(len(sources), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, source in zip(panels, sources, strict=True):
        for (contender, track), rows in data[data["vary"] == source].groupby(["contender", "track"], sort=False):
            _draw_shrinking(axes, rows, styles[str(contender), str(track)])
        axes.set_title(SOURCES[source])
        axes.set_ylabel("half-width\n(percentage points)")
    _name_marks(panels[-1], set(data["what"]))
    _count_runs(panels[-1], int(data["runs"].max()))
    legend_below(figure, panels, 2)
    alt = "Half-width of the mean accuracy's 95 % interval"
    return Plot("variance_half_width", _caption(data), f"{alt}. {'; '.join(_told_widths(data))}.", figure, data)


def half_width_points(variance: pd.DataFrame) -> pd.DataFrame:
    """All that is drawn of each source, contender and track, half-widths in percentage points.

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


def _marks(row: dict[Any, Any]) -> Iterator[tuple[str, int, float]]:
    asked = int(row["runs_for_wanted"]) if pd.notna(row["runs_for_wanted"]) else 0
    last = max(RUNS_FORESEEN[-1], row["n"], asked)
    for runs in np.unique(np.geomspace(min(RUNS_FORESEEN[0], row["n"]), last, 60).round().astype(int)):
        yield FORESEEN, int(runs), foreseen(row["sd"], int(runs))
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
    told = (
        "How the 95 % interval of a mean test accuracy shrinks with runs: half its width, were there so many runs that"
        " spread like these. A filled marker is the interval at hand."
    )
    if ASKED_FOR not in set(data["what"]):
        return told
    return (
        f"{told} Dotted is the precision asked for; a hollow marker shows how many runs it takes, pilot and top-up."
        " Markers go by the pilot's spread and t quantile (Stein 1945), curves by the spread of all runs, in studies"
        " planned at that size: they may lie apart."
    )


def _told(data: pd.DataFrame) -> Iterator[str]:
    for row in data.to_dict("records"):
        interval = f"{row['sd_ci95_low']:.2g} to {row['sd_ci95_high']:.2g}"
        source, contender = SOURCES[row["vary"]], f"{row['contender']} {row['track']}"
        told = f"{MEASURED[row['metric']][0].lower()}, {source}, {contender}: {row['sd']:.2g} {row['unit']}"
        yield f"{told}, 95 % interval {interval}, of {row['n']} runs"


def _told_widths(data: pd.DataFrame) -> Iterator[str]:
    asked = {_identity(row): row for row in data[data["what"] == ASKED_FOR].to_dict("records")}
    for row in data[data["what"] == AT_HAND].to_dict("records"):
        named = f"{SOURCES[row['vary']]}, {row['contender']} {row['track']}"
        told = f"{named}: {row['half_width']:.2g} percentage points over {row['runs']} runs"
        wanted = asked.get(_identity(row))
        yield f"{told}, and {wanted['half_width']:g} takes {wanted['runs']}" if wanted else told


def _identity(row: dict[Any, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in IDENTITY)


def _seen(data: pd.DataFrame, column: str) -> list[Any]:
    return list(dict.fromkeys(data[column]))
