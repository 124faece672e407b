"""The comparisons for people: headlines, the A/A control, the table and its plots."""

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from runners.core.spec import Contender
from runners.report.columns import Column, Row, tabulate
from runners.report.inputs import Inputs
from runners.report.metrics import BY_NAME, COMPARED, Metric, compared_metrics
from runners.report.section import ALONE, Section
from runners.report.sections.comparison.answer import Headline, headlines
from runners.report.sections.comparison.plots import forest, paired_runs
from runners.report.wording import ABSENT, allowed, amount, interval, p_value, per_cent

NOTES = (
    "**Difference**: of two contenders the one that was named first is the reference. A difference is the other's mean"
    " less the reference's, in points, which are percentage points; of times and losses it is the other's over the"
    " reference's, less one, in per cent. **Margin**: the differences too small to matter, declared before the first"
    " run; a ratio may be larger or smaller by one factor, so that 5 % are from 1/1.05, which is -4.762 %, to 1.05.",
    "**Interval**: were the study repeated many times, so many per cent of such intervals would hold the true"
    " difference. **p of a difference**: how often runs that do not differ would look at least this different."
    " **p of equivalence**: how often runs that differ by the margin would look at least this alike.",
    "**Paired**: the runs of one seed are compared with each other, because they share initial weights and batches."
    " **Wins of the other**: the seeds in which it came out better than the reference; a failed run is a loss.",
    "**Other better**: how probable it is that a run of the other comes out better than one of the reference,"
    " ties one half: of pairs the share of wins, with its exact (Clopper-Pearson) interval; elsewhere every run meets"
    " every other (Mann and Whitney), with Newcombe's interval, and **runs to show it** are about how many each must"
    " have for such a share to be told from chance (Noether 1987; 5 % of false alarms, one-sided, and 5 % of misses).",
    "**Holm**: a metric that is not the primary one has its p of a difference corrected for their number, within its"
    " track and pair. Unless that is below 0.05 no such metric is better or different, whatever its own interval says,"
    " which is not corrected: it **may differ**, and is inconclusive.",
    "**Equivalent**: the 90 % interval lies wholly inside the margin. **Better**: the 95 % interval lies wholly"
    " beyond it. **Different**: the 95 % interval excludes zero, but its size against the margin is unresolved."
    " **Inconclusive**: neither a difference nor equivalence is shown. **Descriptive**: what carries no verdict, such"
    " as fewer than 5 seeds, runs that repeat one draw, or runs that never reached a target.",
)


def control_sentences(comparisons: pd.DataFrame) -> list[str]:
    """Return the A/A control: a sentence for each track and pair of copies of one contender; intervals are 95 %."""
    groups = comparisons.groupby(["track", "a", "b"], sort=False)
    return [_control(track, str(a), str(b), rows) for (track, a, b), rows in groups if _base(a) == _base(b)]


def section(inputs: Inputs, comparisons: pd.DataFrame) -> Section:
    """Show every comparison, with its plots."""
    title, data = "Differences against the margins", {"comparisons": comparisons}
    if comparisons.empty:
        return Section("comparisons", title, [ALONE], data=data)
    caption = "Every comparison, with its intervals, tests and verdict"
    table = tabulate(caption, COLUMNS, comparisons, "comparisons")
    plot = forest(comparisons, compared_metrics(inputs.plan))
    plots = [plot] if plot else []
    for metric in (metric for metric in COMPARED if metric.headline):
        plots += paired_runs(inputs.runs, comparisons, metric)
    return Section("comparisons", title, _sentences(headlines(comparisons)), [table], plots, notes=NOTES, data=data)


def _sentences(pairs: Sequence[Headline]) -> list[str]:
    """Write the verdicts that the answer leaves out: of one pair, those on metrics that are not primary."""
    return [
        f"{f'{headline.pair}, {headline.track}: ' if len(pairs) > 1 else ''}**{row['short']}** {row['told']}"
        f" {row['would_change']}"
        for headline in pairs
        for row in headline.rows
        if not row["primary"] or len(pairs) > 1
    ]


def _base(contender: Hashable) -> str:
    return Contender.model_validate(contender).base


def _control(track: Hashable, a: str, b: str, rows: pd.DataFrame) -> str:
    same = f"{a} and {b} are the same framework ({track}): whatever differs between them is chance and machine"
    differences = [_control_difference(row) for row in rows.to_dict("records") if pd.notna(row["difference"])]
    if not differences:
        return f"{same}; none of their runs can be compared yet."
    return (
        f"{same}; {', '.join(differences)} with nothing to cause it. Set what differs between frameworks against this."
    )


def _control_difference(row: Row) -> str:
    """Say by how much two copies differed, with the interval if there are enough runs for one."""
    metric = _metric(row)
    label, ends = metric.label.lower(), (row["ci95_low"], row["ci95_high"])
    if all(pd.notna(end) and metric.shown(end) == 0 for end in ends):
        return f"{label} came out the same every time"
    between = interval(*ends, metric)
    return f"{label} differed by {amount(row['difference'], metric)}" + ("" if between == ABSENT else f" {between}")


def _metric(row: Row) -> Metric:
    return BY_NAME[row["metric"]]


def _interval(level: int) -> Column:
    def cell(row: Row) -> str:
        return interval(row[f"ci{level}_low"], row[f"ci{level}_high"], _metric(row))

    return Column(f"{level} % interval", cell)


def _if_known(name: str, write: str) -> Any:
    """Return a cell that formats a value, or is a dash if the value is absent."""
    return lambda row: ABSENT if pd.isna(row[name]) else write.format(row[name])


def _win_interval(row: Row) -> str:
    low, high = row["win_share_low"], row["win_share_high"]
    return ABSENT if pd.isna(row["win_share"]) else f"[{100 * low:.0f}, {100 * high:.0f}]"


COLUMNS = (
    Column("metric", lambda row: row["metric"].replace("_", " ") + " (primary)" * row["primary"], is_number=False),
    *(
        Column(heading, name, is_number=False)
        for heading, name in (("track", "track"), ("reference", "a"), ("other", "b"), ("verdict", "verdict"))
    ),
    Column("runs", "n"),
    Column("paired", lambda row: "yes" if row["paired"] else "no"),
    Column("difference", lambda row: amount(row["difference"], _metric(row))),
    _interval(95),
    _interval(90),
    Column("margin", lambda row: allowed(row["margin"], _metric(row))),
    Column("p of a difference (Holm)", lambda row: p_value(row["p_difference"])),
    Column("p of equivalence", lambda row: p_value(row["p_equivalence"])),
    Column("wins of the other", _if_known("wins", "{}")),
    Column("other better", lambda row: ABSENT if pd.isna(row["win_share"]) else per_cent(row["win_share"])),
    Column("its 95 % interval", _win_interval),
    Column("runs to show it", _if_known("win_runs_needed", "{:,}")),
)
