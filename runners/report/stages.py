"""The split clock: where a run's seconds go."""

import numpy as np
import pandas as pd

from runners.report.plots import Plot, legend_below, new_figure

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
}  # no framework's colour among them
COLUMNS = ["contender", "track", "runs", "stage", "mean_seconds"]


def split_clock(clocks: pd.DataFrame) -> Plot:
    """Mean seconds of each stage of a run, from the clocks table."""
    data = stages_table(clocks)
    groups = list(dict.fromkeys(data[["contender", "track"]].itertuples(index=False, name=None)))
    means = {stage: data.loc[data["stage"] == stage, "mean_seconds"].to_numpy() for stage in STAGES}  # by group
    figure, axes = new_figure(1.7 + 0.45 * len(groups))
    names = [f"{contender}\n{track}" for contender, track in groups]
    left = np.zeros(len(groups))
    for stage, colour in STAGES.items():
        axes.barh(names, means[stage], left=left, color=colour, linewidth=0, height=0.6, label=stage)
        left += means[stage]
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f} s", va="center")
    axes.set(xlabel="time (seconds per run, mean)", xlim=(0, left.max() * 1.2))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    legend_below(figure, [axes], 5)
    told = "; ".join(
        f"{contender}, {track}: {total:.1f} s, of which training {training:.1f} s"
        for (contender, track), total, training in zip(groups, left, means["train"], strict=True)
    )
    caption = (
        "Where a run's seconds go, on average. Every second belongs to exactly one stage. Compile is the first training"
        " step, in which kernels are chosen and graphs traced; startup is the process's, and other is reporting."
    )
    return Plot("split_clock", caption, f"Seconds of a run by stage. {told}.", figure, data)


def stages_table(clocks: pd.DataFrame) -> pd.DataFrame:
    """What is drawn: the mean of each stage over the completed runs of each contender and track."""
    rows = [
        (contender, track, len(group), stage, group[f"{stage}_seconds"].mean())
        for (contender, track), group in clocks.groupby(["contender", "track"], sort=False)
        for stage in STAGES
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
