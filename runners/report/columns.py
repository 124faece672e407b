"""A table for reading: described once by its columns, and rendered as HTML, as Markdown and on a terminal."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

Row = dict[Any, Any]


@dataclass(frozen=True)
class Column:
    """A heading, and how a row's cell is written: a function of the row, or the name of the value to write."""

    heading: str
    cell: str | Callable[[Row], str]
    is_number: bool = True

    def text(self, row: Row) -> str:
        """Write the cell of a row."""
        return str(row[self.cell]) if isinstance(self.cell, str) else self.cell(row)


@dataclass(frozen=True)
class Table:
    """The cells of a table; after the first `words` columns, which hold words, come columns of numbers."""

    caption: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    file: str | None = None  # in tables/, without its ending: where the numbers are

    @property
    def is_text(self) -> bool:
        """Whether no column holds numbers."""
        return self.words >= len(self.heading)


def tabulate(
    caption: str, columns: Sequence[Column], rows: pd.DataFrame | Iterable[Row], file: str | None = None
) -> Table:
    """Write rows in columns; those of words come first."""
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
    cells = [tuple(column.text(row) for column in columns) for row in records]
    words = sum(not column.is_number for column in columns)
    return Table(caption, tuple(column.heading for column in columns), cells, words, file)
