"""The finished report, as data: what the output formats and the scripts are given."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runners.core.record import RunRecord
from runners.report.inputs import Inputs
from runners.report.plots import Plot
from runners.report.section import Section
from runners.report.sections.comparison.answer import Answer


@dataclass(frozen=True)
class Report:
    """A study with all that is said of it; screen, page, Markdown and JSON are made from this alone."""

    inputs: Inputs
    title: str
    comparisons: pd.DataFrame
    answer: Answer
    differs: bool  # any two contenders, in the primary metric, corrected for the number of pairs and tracks
    sections: tuple[Section, ...]
    control: tuple[str, ...]  # the A/A control, a sentence for each pair of copies
    notices: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.inputs.folder

    @property
    def page(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @property
    def unsuccessful(self) -> tuple[RunRecord, ...]:
        """The runs that ended any other way than completed."""
        return tuple(record for record in self.inputs.records if record.status != "completed")

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Every plot, in the order of the page."""
        return tuple(plot for section in self.sections for plot in section.plots)

    @property
    def curves(self) -> tuple[Plot, ...]:
        """The learning curves that stand beside the answer."""
        return tuple(plot for plot in self.plots if plot.name in ("test_accuracy", "test_loss"))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by its file name, without the ending."""
        return {name: table for section in self.sections for name, table in section.data.items()}
