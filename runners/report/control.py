"""The A/A control: what the comparisons find between copies of one contender, where there is nothing to find."""

from typing import Any

import pandas as pd

from runners.core.spec import Contender
from runners.report.metrics import BY_NAME
from runners.report.wording import ABSENT, amount, interval


def control_sentences(comparisons: pd.DataFrame) -> list[str]:
    """One for each track and pair of copies in the comparisons table; the intervals in it are 95 %."""
    pairs = comparisons[["track", "a", "b"]].drop_duplicates().itertuples(index=False)
    return [_sentence(track, a, b, comparisons) for track, a, b in pairs if _base(a) == _base(b)]


def _base(contender: str) -> str:
    return Contender.model_validate(contender).base


def _sentence(track: str, a: str, b: str, comparisons: pd.DataFrame) -> str:
    rows = comparisons[(comparisons["track"] == track) & (comparisons["a"] == a) & (comparisons["b"] == b)]
    told = f"{a} and {b} are the same framework ({track}): whatever differs between them is chance and machine"
    found = [_found(row) for row in rows.to_dict("records") if pd.notna(row["difference"])]
    if not found:
        return f"{told}; none of their runs can be compared yet."
    return f"{told}; {', '.join(found)} with nothing to cause it. Set what differs between frameworks against this."


def _found(row: dict[Any, Any]) -> str:
    """By how much they differed; with the interval where there are runs enough for one."""
    metric = BY_NAME[row["metric"]]
    label, ends = metric.label.lower(), (row["ci95_low"], row["ci95_high"])
    if all(pd.notna(end) and metric.shown(end) == 0 for end in ends):
        return f"{label} came out the same every time"
    between = interval(*ends, metric)
    return f"{label} differed by {amount(row['difference'], metric)}" + ("" if between == ABSENT else f" {between}")
