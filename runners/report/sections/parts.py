"""What a page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from runners.report.plots import Plot

LONGEST = 500  # rows of a table, or errors, that a page shows; the files hold all
ALONE = "One contender alone: nothing is compared."


@dataclass(frozen=True)
class Table:
    """Rows for reading, the heading first; after the columns of words come those of numbers."""

    caption: str
    grid: Sequence[Sequence[str]]
    words: int = 1
    file: str | None = None  # in tables/, without its ending


@dataclass(frozen=True)
class Section:
    """A part of the page: what it says, then its tables, plots and texts, then the notes that explain its terms."""

    anchor: str
    title: str
    told: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    texts: Sequence[tuple[str, str]] = ()  # a heading each, and what stands as it is
    notes: Sequence[str] = ()
