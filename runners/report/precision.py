"""How sure the mean accuracy over seeds is: how its interval shrinks with runs, and what test images leave open."""

from typing import Any

import pandas as pd

from runners.core.spec import Vary
from runners.report.statistics import half_width_of
from runners.report.wording import ABSENT, SOURCES, number

RUNS_FORESEEN = (3, 5, 10, 20, 50, 100)
HEADING = (
    *("what varied", "contender", "runs", "95 % interval of the mean", "runs to the precision asked for"),
    *("SD on these test images", "SD on endless ones", "test-sampling error"),
)
PRECISION_NOTE = (
    "**How sure the mean accuracy is**, in percentage points. Its interval is a t interval; where a pilot decided on"
    " the number of runs, of the pilot's SD alone (Stein 1945). **SD on endless ones**: what would be left of the SD if"
    " accuracy were not counted on these test images only (Jordan 2024, theorem 2; the variance is estimated without"
    " bias, and so may come out below 0: then no spread can be told). **Test-sampling error**: the standard"
    " error of any accuracy as a statement on other images than these; no number of runs lessens it."
)


def precision_sentences(variance: pd.DataFrame) -> list[tuple[Vary, str]]:
    """What varied, and how the interval of each contender's mean accuracy shrinks with runs, from the variance table.

    Contenders with less than two completed runs are left out, and those whose runs all came out the same.
    """
    return [(row["vary"], _precision(row)) for row in _spread(variance) if pd.notna(row["half_width"])]


def beyond_images_sentences(variance: pd.DataFrame) -> list[tuple[Vary, str]]:
    """What varied, and how much of each contender's spread in accuracy is left beyond the choice of test images.

    Contenders of which the variance table does not tell it are left out, and those whose runs all came out the same.
    """
    rows = _spread(variance)
    return [(row["vary"], _beyond_images(row)) for row in rows if pd.notna(row["distribution_variance"])]


def precision_grid(variance: pd.DataFrame) -> list[tuple[str, ...]]:
    """What the variance table tells of mean accuracies, for reading: a heading row, then a row a contender."""
    return [HEADING, *(_cells(row) for row in _of_accuracy(variance))]


def foreseen(sd: float, runs: int) -> float:
    """Half the 95 % interval of the mean of so many runs, two at least, that spread by this SD."""
    half = half_width_of(sd, runs)
    assert half is not None
    return half


def _of_accuracy(variance: pd.DataFrame) -> list[dict[Any, Any]]:
    return variance[variance["metric"] == "test_accuracy"].to_dict("records")


def _spread(variance: pd.DataFrame) -> list[dict[Any, Any]]:
    return [row for row in _of_accuracy(variance) if row["sd"] > 0]


def _precision(row: dict[Any, Any]) -> str:
    shrinks = ", ".join(f"{100 * foreseen(row['sd'], n):.2f} with {n}" for n in RUNS_FORESEEN)
    told = (
        f"{row['contender']}, {row['track']}: the 95 % interval of its mean accuracy is +-{100 * row['half_width']:.2f}"
        f" percentage points over {row['n']} runs; of runs that spread like these it would be {shrinks}"
    )
    return f"{told}{_takes(row)}."


def _takes(row: dict[Any, Any]) -> str:
    if pd.isna(row["runs_for_wanted"]):
        return ""
    return f"; to +-{100 * row['wanted_half_width']:g}, by the pilot's spread, it takes {row['runs_for_wanted']}"


def _beyond_images(row: dict[Any, Any]) -> str:
    variance, sd = row["distribution_variance"], row["distribution_sd"]
    left = (
        f"on endless ones a variance estimated as {variance:.1e}, below 0: none that can be told"
        if pd.isna(sd)
        else f"{100 * sd:.3f} on endless ones"
    )
    return (
        f"{row['contender']}, {row['track']}: SD of test accuracy over {row['n']} runs {100 * row['sd']:.3f} percentage"
        f" points on these {row['images']:,} test images, {left}; which images are tested is worth"
        f" {100 * row['sampling_error']:.3f} to any accuracy."
    )


def _cells(row: dict[Any, Any]) -> tuple[str, ...]:
    half, wanted = _points(row["half_width"]), f"{100 * row['wanted_half_width']:g}"
    below = pd.notna(row["distribution_variance"]) and row["distribution_variance"] < 0
    return (
        *(SOURCES[row["vary"]], f"{row['contender']}, {row['track']}", str(row["n"])),
        half if half == ABSENT else f"±{half}",
        ABSENT if pd.isna(row["runs_for_wanted"]) else f"{row['runs_for_wanted']} to ±{wanted}",
        *(_points(row["sd"]), "variance below 0" if below else _points(row["distribution_sd"])),
        _points(row["sampling_error"]),
    )


def _points(value: float) -> str:
    return number(100 * value, 3)
