"""The answer, first on the screen, the page and in Markdown: a sentence a pair, and a table with a row a metric."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from runners.report.columns import Column, Row, Table, tabulate
from runners.report.metrics import BY_NAME
from runners.report.tables import completed
from runners.report.wording import ABSENT, amount, better_of, called, interval, mean_and_sd

MARGINS_SHOWN = 2.5  # on each side of no difference


@dataclass(frozen=True)
class Drawing:
    """A difference against its margin, as shares of the drawing's width: 0.5 is no difference."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Headline:
    """The verdicts of one track on two contenders."""

    track: str  # "not matched" where a matched track is unpaired
    pair: str
    rows: list[Row]  # of the comparisons table, a metric each


@dataclass(frozen=True)
class Answer:
    """The verdicts of each track and pair, and their table; a drawing for each row, or None without an interval."""

    headlines: tuple[Headline, ...]
    table: Table
    drawings: tuple[Drawing | None, ...]


def answer(runs: pd.DataFrame, comparisons: pd.DataFrame) -> Answer:
    """Return the answer from the runs and comparisons tables; of several pairs the table has the headline metrics."""
    pairs = headlines(comparisons)
    rows = [
        {**row, "pair": f"{headline.pair}, {headline.track}" if row["primary"] else "", **_means(runs, row)}
        for headline in pairs
        for row in headline.rows
        if len(pairs) == 1 or BY_NAME[row["metric"]].headline
    ]
    table = tabulate("Mean ± standard deviation over completed runs", _columns(pairs), rows)
    return Answer(tuple(pairs), table, tuple(map(_drawing, rows)))


def headlines(comparisons: pd.DataFrame) -> list[Headline]:
    """Return one headline for each track and pair, in the table's order."""
    groups = comparisons.groupby(["track", "a", "b"], sort=False)
    return [
        Headline(called(str(track), bool(rows["paired"].all())), f"{b} compared with {a}", rows.to_dict("records"))
        for (track, a, b), rows in groups
    ]


def _columns(pairs: list[Headline]) -> list[Column]:
    one = pairs[0].rows[0] if len(pairs) == 1 else {"a": "reference", "b": "other"}
    compared = [] if len(pairs) == 1 else [Column("compared", "pair", is_number=False)]
    return [
        *compared,
        Column("metric", lambda row: BY_NAME[row["metric"]].heading, is_number=False),
        Column(one["a"], "mean_a"),
        Column(one["b"], "mean_b"),
        Column("difference [95 % interval]", _difference),
        Column("verdict", _verdict),
    ]


def _means(runs: pd.DataFrame, row: Row) -> dict[str, str]:
    """Write the mean and SD of both contenders' completed runs."""
    metric, done = BY_NAME[row["metric"]], completed(runs)
    written = {}
    for side in ("a", "b"):
        own = done[(done["contender"] == row[side]) & (done["track"] == row["track"])][metric.name].astype(float)
        written[f"mean_{side}"] = mean_and_sd(own.mean(), own.std(), metric.decimals)
    return written


def _verdict(row: Row) -> str:
    """Write the verdict in a word, and whom it favours."""
    if row["verdict"] != "better":
        return str(row["verdict"])
    return f"{better_of(row['difference'], row['a'], row['b'], BY_NAME[row['metric']])} better"


def _difference(row: Row) -> str:
    metric = BY_NAME[row["metric"]]
    between = interval(row["ci95_low"], row["ci95_high"], metric)
    return amount(row["difference"], metric) + ("" if between == ABSENT else f" {between}")


def _drawing(row: Row) -> Drawing | None:
    """Place the difference and its 95 % interval; a ratio by its logarithm, so that both sides are alike."""
    values = (row["ci95_low"], row["difference"], row["ci95_high"])
    if any(map(pd.isna, values)):
        return None
    scale = np.log if BY_NAME[row["metric"]].ratio else np.asarray
    with np.errstate(divide="ignore"):  # the interval of two wild runs may reach from 0 to infinity
        margins = scale(values) / scale(row["margin"])
    return Drawing(*np.clip(0.5 + margins / (2 * MARGINS_SHOWN), 0, 1).tolist())
