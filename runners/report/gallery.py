"""Every plot of a study, in the order in which the page shows them. A new plot is a line here."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from runners.divergence import Divergence
from runners.report.comparisons import declared_metrics
from runners.report.contrasts import forest, paired_runs
from runners.report.curves import CURVES, learning_curves
from runners.report.divergence import divergence_plot
from runners.report.plots import STYLE, Plot, save
from runners.report.scaling_plot import scaling_plot
from runners.report.spreads import MEASURES, distribution
from runners.report.stages import split_clock
from runners.study import Plan


def draw_all(
    plan: Plan,
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    clocks: pd.DataFrame,
    comparisons: pd.DataFrame,
    scaling: pd.DataFrame,
    parting: Divergence | None,
    folder: Path,
) -> list[Plot]:
    """Draw whatever the completed runs allow, from the tables; each plot is a PNG, an SVG and a CSV in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    completed = epochs[epochs["run_id"].isin(runs.loc[runs["status"] == "completed", "run_id"])]
    with mpl.rc_context(STYLE):
        drawn = list(_plots(plan, runs, completed, clocks, comparisons, scaling, parting))
        for plot in drawn:
            save(plot, folder)
    return drawn


def _plots(
    plan: Plan,
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    clocks: pd.DataFrame,
    comparisons: pd.DataFrame,
    scaling: pd.DataFrame,
    parting: Divergence | None,
) -> Iterator[Plot]:
    metrics = declared_metrics(plan)
    if not epochs.empty:
        found: list[Plot | None] = [forest(comparisons, metrics)]
        found += [learning_curves(epochs, column) for column in CURVES]
        found += [paired_runs(runs, metric, MEASURES[metric.name]) for metric in metrics if metric.name in PAIRED]
        found += [distribution(runs, column) for column in MEASURES]
        found += [split_clock(clocks), scaling_plot(scaling)]
        yield from (plot for plot in found if plot)
    if parting:
        yield divergence_plot(parting)


PAIRED = ("test_accuracy", "train_seconds")
