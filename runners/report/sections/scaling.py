"""How training scales with replicas: speed-up and efficiency of each contender against its framework's smallest one.

Strong scaling shares a batch of one size among the replicas; at best N of them take 1/N of the time, and the part that
cannot be shared bounds the speed-up (Amdahl 1967, Validity of the Single Processor Approach). Weak scaling gives every
replica a batch of that size, so that the work of a step grows with them (Gustafson 1988, Reevaluating Amdahl's Law).
"""

from collections.abc import Iterator
from functools import partial
from math import isnan
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import Contender
from runners.core.study import Plan, settings_of
from runners.report.columns import Column, Row, tabulate
from runners.report.dictionary import columns_of
from runners.report.inputs import Inputs
from runners.report.metrics import SEEDS_FOR_A_VERDICT
from runners.report.plots import COLOURS, DASHES, MUTED, Plot, legend_below, new_figure
from runners.report.section import Section
from runners.report.sections.comparison.table import pairs_by_seed
from runners.report.statistics.differences import ratio_comparison
from runners.report.statistics.means import mean_interval
from runners.report.tables import completed
from runners.report.wording import counted, number, per_cent, too_few

DRAWN = ["epoch_seconds", "epoch_seconds_ci95_low", "epoch_seconds_ci95_high", "ideal_epoch_seconds"]
POINT_COLUMNS = ["framework", "contender", "track", "scaling", "replicas", "n", *DRAWN]
NOTE = (
    "Speed-up is the ratio of images per second to those of the framework's contender with the fewest replicas, and"
    " efficiency is that over the ratio of replicas. In matched, runs pair by seed; in native they do not (Welch)."
    " Intervals are 95 % t intervals of the logarithms; the first step, timed as compile, is left out of both. Where"
    " cores allow, runs go side by side: a run of one replica may have had neighbours that slowed it, where a run that"
    " took every core had none, and this favours the latter. Waiting is the mean share of training time in which a"
    " replica had done its own part of a step and waited for the gradients of the others, the slowest included; it is"
    " the framework's own timing, from the second epoch on, and a framework without one has a dash."
)


def section(inputs: Inputs) -> Section | None:
    """Show several replicas against the fewest, if there are any."""
    scaling = scaling_table(inputs.runs, inputs.plan)
    if scaling.empty:
        return None
    table = tabulate("Each contender against its framework's smallest", READING, scaling, "scaling")
    plot = scaling_plot(scaling)
    return Section(
        "scaling",
        "Scaling",
        scaling_sentences(scaling),
        [table],
        [plot] if plot else [],
        notes=[NOTE, *_loops(scaling)],
        data={"scaling": scaling},
        screen=[table],
    )


def scaling_table(runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return one row a track and contender of each framework that has a strategy; none if no framework has.

    `n` counts completed runs, and means are over them: `epoch_seconds` are those that all training images take at a
    run's images per second, which includes the first step although its own time is in compile. `speedup` is the
    images per second over those of `baseline`, by geometric means: if `paired`, over the `n_compared` seeds that both
    completed, else over all of each, of which the smaller side has that many; in strong scaling it is T_1 / T_N.
    `efficiency` is the speed-up over the ratio of replicas. `seconds_to_accuracy` is over the `n_reached` runs that
    reached the plan's target; `communication_share` is empty where a framework does not measure it.
    """
    rows = [row for track in plan.tracks for row in _of_track(runs[runs["track"] == track], track, plan)]
    return pd.DataFrame(rows, columns=columns_of("scaling"))


def scaling_sentences(table: pd.DataFrame) -> list[str]:
    """Return a sentence for each contender that has a baseline other than itself."""
    rows = table[(table["contender"] != table["baseline"]) & table["speedup"].notna()].to_dict("records")
    return [_sentence(row) for row in rows]


def _loops(scaling: pd.DataFrame) -> Iterator[str]:
    """Warn of each framework whose strategies train in another loop than its single replica."""
    for name in dict.fromkeys(scaling["framework"]):
        framework = FRAMEWORKS[name]
        if framework.other_loop:
            strategy = next(iter(framework.strategies))
            yield (
                f"The single replica of {framework.label} trains in another loop than its strategies, so against"
                f" `{name}` a speed-up holds the difference of the loops too; in a study with `{name}:{strategy}:1`"
                " that is the baseline, and what remains is the replicas'."
            )


def _of_track(runs: pd.DataFrame, track: str, plan: Plan) -> Iterator[dict[str, Any]]:
    with_strategy = {c.framework for c in plan.contenders if c.strategy != "single"}
    for framework in dict.fromkeys(c.framework for c in plan.contenders if c.framework in with_strategy):
        contenders = [c for c in plan.contenders if c.framework == framework]
        # At equal replicas the baseline trains as the larger contenders do: by a strategy, if those have another loop.
        other_loop = FRAMEWORKS[framework].other_loop
        baseline = min(contenders, key=lambda c: (c.replicas, (c.strategy == "single") == other_loop))
        its_speeds = _images_per_second(_completed(runs, baseline))
        for contender in contenders:
            completed = _completed(runs, contender)
            yield {
                **_identity(contender, track, plan),
                **_means(completed, plan),
                "baseline": str(baseline),
                **_against(contender, baseline, _images_per_second(completed), its_speeds, track, plan),
            }


def _identity(contender: Contender, track: str, plan: Plan) -> dict[str, Any]:
    settings = settings_of(plan, contender)
    return {
        "framework": contender.framework,
        "contender": str(contender),
        "strategy": contender.strategy,
        "replicas": contender.replicas,
        "track": track,
        "scaling": plan.scaling,
        "lr_rule": plan.lr_rule,
        "global_batch_size": settings["batch_size"],
        "learning_rate": settings["optimizer"].learning_rate,
    }


def _completed(runs: pd.DataFrame, contender: Contender) -> pd.DataFrame:
    return completed(runs[runs["contender"] == str(contender)]).set_index("seed")


def _images_per_second(completed: pd.DataFrame) -> pd.Series:
    """Return images per second by seed; a run of one step has none."""
    return completed["images_per_second"].astype(float).dropna()


def _means(completed: pd.DataFrame, plan: Plan) -> dict[str, Any]:
    speeds = _images_per_second(completed)
    seconds = plan.limit_train / speeds
    low, high = mean_interval(seconds) or (np.nan, np.nan)
    to_accuracy = completed["seconds_to_accuracy"].astype(float).dropna()
    return {
        "n": len(completed),
        "epoch_seconds": seconds.mean(),
        "epoch_seconds_ci95_low": low,
        "epoch_seconds_ci95_high": high,
        "images_per_second": speeds.mean(),
        "startup_seconds": completed["startup_seconds"].astype(float).mean(),
        "n_reached": len(to_accuracy),
        "seconds_to_accuracy": to_accuracy.mean(),
        "communication_share": completed["communication_share"].astype(float).mean(),
    }


def _against(
    contender: Contender, baseline: Contender, speeds: pd.Series, its_speeds: pd.Series, track: str, plan: Plan
) -> dict[str, Any]:
    """Return speed-up and efficiency. The baseline's own are 1 by definition, without an interval."""
    paired = pairs_by_seed(track)
    if paired:
        both = speeds.index.intersection(its_speeds.index)
        speeds, its_speeds = speeds[both], its_speeds[both]
    ratio = ratio_comparison(speeds, its_speeds, plan.time_margin, paired)
    low, high = (None if contender == baseline else ratio.ci95) or (None, None)
    replicas = contender.replicas / baseline.replicas
    numbers = {"": ratio.difference, "_ci95_low": low, "_ci95_high": high}
    figures = {ending: np.nan if value is None else value for ending, value in numbers.items()}
    return {
        "paired": paired,
        "n_compared": ratio.n,
        **{f"speedup{ending}": value for ending, value in figures.items()},
        **{f"efficiency{ending}": value / replicas for ending, value in figures.items()},
    }


def _sentence(row: Row) -> str:
    trains = f"{row['contender']} trains on {row['speedup']:.2f} times as many images a second as {row['baseline']}"
    speedup = _bracketed(row, "speedup", 1, 2)
    efficiency = f"an efficiency of {per_cent(row['efficiency'])}{_bracketed(row, 'efficiency', 100, 0)}"
    sentence = f"{row['track']}, {row['scaling']} scaling: {trains}{speedup}, {efficiency}"
    if row["n_compared"] >= SEEDS_FOR_A_VERDICT:
        return f"{sentence}."
    return f"{sentence}; descriptive only, {too_few(row['n_compared'])}."


def _bracketed(row: Row, name: str, times: float, digits: int) -> str:
    """Write an interval behind its figure, with a space; nothing where there is none."""
    low, high = row[f"{name}_ci95_low"], row[f"{name}_ci95_high"]
    return "" if isnan(low) else f" [{times * low:.{digits}f}, {times * high:.{digits}f}]"


def _to_target(row: Row) -> str:
    reached = "" if row["n_reached"] in (0, row["n"]) else f" ({row['n_reached']} of {row['n']} runs)"
    return number(row["seconds_to_accuracy"], 1) + reached


READING = (
    Column("contender", lambda row: f"{row['contender']}, {row['track']}", is_number=False),
    Column("batch", "global_batch_size"),
    Column("runs", "n"),
    Column("seconds per epoch", lambda row: number(row["epoch_seconds"], 2) + _bracketed(row, "epoch_seconds", 1, 2)),
    Column("images per second", lambda row: number(row["images_per_second"], 0)),
    Column("speed-up", lambda row: number(row["speedup"], 2) + _bracketed(row, "speedup", 1, 2)),
    Column("efficiency", lambda row: per_cent(row["efficiency"]) + _bracketed(row, "efficiency", 100, 0)),
    Column("startup seconds", lambda row: number(row["startup_seconds"], 1)),
    Column("seconds to target", _to_target),
    Column("waiting", lambda row: per_cent(row["communication_share"])),
)


def scaling_plot(table: pd.DataFrame) -> Plot | None:
    """Draw seconds per epoch against replicas, with what they would be if nothing were lost; None without runs."""
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
    return Plot("scaling", caption, f"Training seconds per epoch. {alt}.", points, partial(_draw, points))


def scaling_points(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn of each contender; `ideal_epoch_seconds` are its baseline's over the ratio of replicas."""
    timed = table[table["epoch_seconds"].notna()]
    bases = timed[timed["contender"] == timed["baseline"]].set_index(["framework", "track"])
    ideal = [
        bases.loc[key, "epoch_seconds"] * bases.loc[key, "replicas"] / replicas if key in bases.index else np.nan
        for *key_parts, replicas in timed[["framework", "track", "replicas"]].itertuples(index=False, name=None)
        for key in [tuple(key_parts)]
    ]
    return timed.assign(ideal_epoch_seconds=ideal)[POINT_COLUMNS]


def _draw(points: pd.DataFrame) -> Figure:
    """Draw a line a framework, track and strategy, with 95 % t intervals, and the ideal of each framework."""
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
    """Yield label and points of each line, from the framework's smallest contender on; a copy has its own line."""
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
