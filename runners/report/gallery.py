"""Every plot of a study, in the order in which the page shows them. A new plot is a line here."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd

from runners.report.contrasts import forest, paired_runs
from runners.report.curves import CURVES, learning_curves
from runners.report.divergence import divergence_plot
from runners.report.metrics import declared_metrics
from runners.report.plots import STYLE, Plot, save
from runners.report.scaling_plot import scaling_plot
from runners.report.spreads import MEASURES, distribution
from runners.report.stages import split_clock
from runners.report.tables import clocks_table
from runners.report.variance_plots import half_width_plot, variance_plot

if TYPE_CHECKING:
    from runners.report.build import Report


# The files that are drawn here: only these may be deleted, once nothing is drawn into them.
OURS = re.compile(
    rf"({'|'.join([*CURVES, *(f'distribution_{name}' for name in MEASURES)])}|seconds_per_epoch|differences"
    r"|pairs_(test_accuracy|train_seconds)(_\d+)?|split_clock|scaling|variance(_half_width)?|divergence)\.(png|svg|csv)"
)


def draw_all(report: "Report") -> list[Plot]:
    """Draw whatever the completed runs allow, from the tables; each plot is a PNG, an SVG and a CSV in plots/.

    Once all are there others go from plots/: none may outlive the records that it shows.
    """
    return _drawn(_plots(report), report.folder / "plots", "*")


def draw_variance(variance: pd.DataFrame, folder: Path) -> list[Plot]:
    """Draw what the variance table allows, into folder/plots, in the place of what lies there of another one."""
    return _drawn(_of_variance(variance), folder / "plots", "variance*")


def _drawn(plots: Iterable[Plot], folder: Path, all_of_them: str) -> list[Plot]:
    with mpl.rc_context(STYLE):
        drawn = list(plots)
        for plot in drawn:
            save(plot, folder)
    names = {plot.name for plot in drawn}
    for path in [] if folder.is_symlink() else folder.glob(all_of_them):
        if OURS.fullmatch(path.name) and path.stem not in names and path.is_file() and not path.is_symlink():
            path.unlink()
    return drawn


def _plots(report: "Report") -> Iterator[Plot]:
    runs, metrics = report.runs, declared_metrics(report.study.plan)
    completed = runs.loc[runs["status"] == "completed", "run_id"]
    epochs = report.epochs[report.epochs["run_id"].isin(completed)]
    if not epochs.empty:
        found: list[Plot | None] = [forest(report.comparisons, metrics)]
        found += [learning_curves(epochs, column) for column in CURVES]
        for metric in (metric for metric in metrics if metric.name in PAIRED):
            found += paired_runs(runs, report.comparisons, metric, MEASURES[metric.name])
        found += [distribution(runs, column) for column in MEASURES]
        found += [split_clock(clocks_table(report.records)), scaling_plot(report.scaling)]
        yield from (plot for plot in found if plot)
        yield from _of_variance(report.variance)
    if report.divergence:
        yield divergence_plot(report.divergence)


def _of_variance(variance: pd.DataFrame) -> Iterator[Plot]:
    yield from (plot for plot in (variance_plot(variance), half_width_plot(variance)) if plot)


PAIRED = ("test_accuracy", "train_seconds")
