"""How often one run of each contender would pick the wrong winner: what a comparison of two single runs is worth."""

import itertools
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any, Protocol

import pandas as pd

from runners.core.spec import VARIES, Vary
from runners.report.columns import Column, Row, Table, tabulate
from runners.report.dictionary import columns_of
from runners.report.statistics.shares import probability_of_improvement
from runners.report.tables import completed
from runners.report.wording import ABSENT, SOURCES, per_cent

CHANCE = ("wrong_winner", "wrong_winner_low", "wrong_winner_high")
NOTE = (
    "**The wrong winner**: of all pairs of a run of one contender with a run of the other, whatever their seeds, the"
    " share in which the accuracy of the one that is worse on average is higher, ties one half; its interval is"
    " Newcombe's (2006, method 5). Which is better is by these runs: where the interval holds 50 %, they leave open"
    " which it is."
)


class Runs(Protocol):
    """Anything with a runs table."""

    @property
    def runs(self) -> pd.DataFrame:
        """The runs table of a study."""


def wrong_winner_table(sources: Mapping[Vary, Runs]) -> pd.DataFrame:
    """Return one row a source, track and pair of contenders that have completed runs, in test accuracy.

    `difference` is by how much the better's mean is higher (a fraction). `wrong_winner` is the probability that a run
    of the worse is above one of the better, ties one half, every run of one compared with every run of the other, with
    its 95 % interval. It is empty below two runs of either, and where the means are equal, so that there is no winner;
    the names then stand in the plan's order.
    """
    rows = [row for vary in VARIES if vary in sources for row in _of_source(vary, sources[vary].runs)]
    return pd.DataFrame(rows, columns=columns_of("wrong_winner")).astype(dict.fromkeys(("difference", *CHANCE), float))


def wrong_winner_sentences(table: pd.DataFrame) -> list[tuple[Vary, str]]:
    """Return what varied, and the sentence, of each row that has a probability."""
    return [(row["vary"], _sentence(row)) for row in table.dropna(subset="wrong_winner").to_dict("records")]


def reading(table: pd.DataFrame) -> Table:
    """Return the table for reading."""
    return tabulate("How often one run each picks the wrong winner", READING, table, "wrong_winner")


def _of_source(vary: Vary, runs: pd.DataFrame) -> Iterator[Row]:
    known = completed(runs).astype({"test_accuracy": float}).dropna(subset="test_accuracy")
    for track, of_track in known.groupby("track", sort=False):
        accuracies = {str(name): own["test_accuracy"] for name, own in of_track.groupby("contender", sort=False)}
        for pair in itertools.combinations(accuracies, 2):
            better, worse = sorted(pair, key=lambda name: -accuracies[name].mean())
            yield {"vary": vary, "track": track, **_of_pair(pair, better, worse, accuracies)}


def _of_pair(pair: tuple[str, str], better: str, worse: str, accuracies: Mapping[str, pd.Series]) -> dict[str, Any]:
    difference = accuracies[better].mean() - accuracies[worse].mean()
    is_tie = isclose(accuracies[better].mean(), accuracies[worse].mean(), rel_tol=1e-12)  # a sum's rounding is no lead
    first, second = pair if is_tie else (better, worse)
    n_better, n_worse = len(accuracies[first]), len(accuracies[second])
    row = {"better": first, "worse": second, "n_better": n_better, "n_worse": n_worse}
    if is_tie or min(n_better, n_worse) < 2:
        return {**row, "difference": 0.0 if is_tie else difference}
    chance = probability_of_improvement(accuracies[worse], accuracies[better])
    numbers = (chance.probability, *(chance.ci95 or (None, None)))
    return {**row, "difference": difference, **dict(zip(CHANCE, numbers, strict=True))}


def _sentence(row: Row) -> str:
    ahead = f"{row['better']} is ahead of {row['worse']} in mean accuracy ({row['track']})"
    chance, low, high = (per_cent(row[name]) for name in CHANCE)
    return f"{ahead}; one run each picks the wrong winner in {chance} of cases [{low}, {high}]."


def _interval(row: Row) -> str:
    low, high = (f"{100 * row[name]:.0f}" for name in CHANCE[1:])
    return ABSENT if pd.isna(row["wrong_winner"]) else f"[{low}, {high}]"


READING = (
    Column("what varied", lambda row: SOURCES[row["vary"]], is_number=False),
    Column("track", "track", is_number=False),
    Column("better on average", "better", is_number=False),
    Column("than", "worse", is_number=False),
    Column("runs of each", lambda row: f"{row['n_better']}, {row['n_worse']}"),
    Column("by (points)", lambda row: f"{100 * row['difference']:.2f}"),
    Column("one run each picks the wrong winner", lambda row: per_cent(row["wrong_winner"])),
    Column("95 % interval", _interval),
)
