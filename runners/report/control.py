"""The A/A control: what the comparisons find between copies of one contender, where there is nothing to find."""

from math import expm1
from typing import Any

import numpy as np
import pandas as pd

from runners.core.spec import Contender
from runners.report.verdict import METRICS, TIME_TO_ACCURACY

_METRICS = {metric.name: metric for metric in (*METRICS, TIME_TO_ACCURACY)}


def control_sentences(comparisons: pd.DataFrame) -> list[str]:
    """One for each track and pair of copies in the comparisons table; the intervals in it are 95 %."""
    pairs = comparisons[["track", "a", "b"]].drop_duplicates().itertuples(index=False)
    return [_sentence(track, a, b, comparisons) for track, a, b in pairs if _base(a) == _base(b)]


def _base(contender: str) -> str:
    return Contender.model_validate(contender).base


def _sentence(track: str, a: str, b: str, comparisons: pd.DataFrame) -> str:
    rows = comparisons[(comparisons["track"] == track) & (comparisons["a"] == a) & (comparisons["b"] == b)]
    told = f"{a} and {b} are the same framework ({track}): whatever differs between them is chance and machine"
    told_already = rows["metric"] == "images_per_second"  # as training time, the other way round
    found = [_found(row) for row in rows[~told_already].to_dict("records") if pd.notna(row["difference"])]
    if not found:
        return f"{told}; none of their runs can be compared yet."
    return f"{told}; {', '.join(found)} with nothing to cause it. Set what differs between frameworks against this."


def _found(row: dict[Any, Any]) -> str:
    """By how much they differed, told from the larger; with the interval where there are runs enough for one."""
    metric = _METRICS[row["metric"]]
    values = np.array([row["difference"], row["ci95_low"], row["ci95_high"]], float)
    with np.errstate(divide="ignore"):  # the interval of two wild runs may begin at 0
        middle, low, high = np.log(values) if metric.ratio else values
    if middle < 0:
        middle, low, high = -middle, -high, -low
    if low == high == 0:
        return f"{metric.label.lower()} came out the same every time"
    number, unit = (_per_cent, "") if metric.ratio else (_points, " percentage points")
    interval = "" if np.isnan(low) else f" [{number(low)}, {number(high)}]"
    return f"{metric.label.lower()} differed by {number(middle)}{unit}{interval}"


def _per_cent(logarithm: float) -> str:
    return f"{100 * expm1(logarithm):z.1f} %"


def _points(fraction: float) -> str:
    return f"{100 * fraction:z.2f}"
