"""The verdicts as page, Markdown and screen lead with them: by track and pair of contenders."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from runners.report.wording import called


@dataclass(frozen=True)
class Headline:
    """What one track says of two contenders."""

    track: str  # as it may be called: "not matched" where the parity audit failed
    pair: str
    rows: list[dict[Any, Any]]  # of the comparisons table, a metric each


def headlines(comparisons: pd.DataFrame) -> list[Headline]:
    """One for each track and pair, in the table's order."""
    groups = comparisons.groupby(["track", "a", "b"], sort=False)
    return [
        Headline(called(str(track), bool(rows["paired"].all())), f"{b} compared with {a}", rows.to_dict("records"))
        for (track, a, b), rows in groups
    ]
