"""What a subject adds to the report: the page, report.md, the screen, tables/ and plots/ are made of sections alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from runners.report.columns import Table
from runners.report.plots import Plot

LONGEST = 500  # rows of a table, or errors, that a page shows; the files hold all
ALONE = "One contender alone: nothing is compared."


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences, then tables, plots and texts, then the notes that explain its terms.

    In sentences and notes words between ** are strong, and words between ` are code.
    """

    anchor: str
    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    texts: Sequence[tuple[str, str]] = ()  # a heading each, and a text that keeps its lines
    notes: Sequence[str] = ()
    data: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # by file name in tables/, without ending
    screen: Sequence[Table] = ()  # for the terminal
