"""The split clock: where a run's seconds go."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from runners.core.record import Clock, RunRecord
from runners.report.plots import Plot, legend_below, new_figure
from runners.report.tables import by_contender, identity

STAGES = {
    "startup": "#c9ced6",
    "import": "#b39ddb",
    "data": "#f2c94c",
    "build": "#8d6e63",
    "compile": "#e377a2",
    "train": "#2a9d8f",
    "eval": "#8bc34a",
    "checkpoint": "#5c6b7a",
    "other": "#9aa4ae",
}  # none of them the colour of a framework
COLUMNS = ["contender", "track", "runs", "stage", "mean_seconds"]


def split_clock(records: Sequence[RunRecord]) -> Plot | None:
    """Draw the mean seconds of each stage of a run; None without a completed run."""
    data = _stages_table(records)
    if data.empty:
        return None
    texts = "; ".join(
        f"{contender}, {track}: {means.sum():.1f} s, of which training {means['train']:.1f} s"
        for contender, track, stages in by_contender(data)
        for means in [stages.set_index("stage")["mean_seconds"]]
    )
    caption = (
        "Where a run's seconds go, on average. Every second belongs to exactly one stage. Compile is the first training"
        " step, in which kernels are chosen and graphs traced; startup is the process's, and other is reporting."
    )
    return Plot("split_clock", caption, f"Seconds of a run by stage. {texts}.", data, partial(_draw, data))


def _draw(data: pd.DataFrame) -> Figure:
    names = [f"{contender}\n{track}" for contender, track, _ in by_contender(data)]
    figure, axes = new_figure(1.7 + 0.45 * len(names))
    left = np.zeros(len(names))
    for stage, colour in STAGES.items():
        means = data.loc[data["stage"] == stage, "mean_seconds"].to_numpy()  # by group
        axes.barh(names, means, left=left, color=colour, linewidth=0, height=0.6, label=stage)
        left += means
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f} s", va="center")
    axes.set(xlabel="time (seconds per run, mean)", xlim=(0, left.max() * 1.2))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    legend_below(figure, [axes], 5)
    return figure


def _stages_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the mean of each stage over the completed runs of each contender and track."""
    clocks = [{**identity(r), **r.clock.model_dump()} for r in records if r.clock and r.status == "completed"]
    columns = ["run_id", "contender", "track", "seed", *Clock.model_fields]
    rows = [
        (contender, track, len(group), stage, group[f"{stage}_seconds"].mean())
        for contender, track, group in by_contender(pd.DataFrame(clocks, columns=columns))
        for stage in STAGES
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
