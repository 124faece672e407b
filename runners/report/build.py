"""From a results folder to everything that is reported of it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runners import store
from runners.record import RunRecord
from runners.report import page, plots, tables
from runners.report.comparisons import comparisons_table
from runners.report.control import control_sentences
from runners.report.notices import notices
from runners.report.variance import variance_table
from runners.study import Study


@dataclass(frozen=True)
class Report:
    """A study's records and what is made of them."""

    folder: Path
    study: Study
    records: tuple[RunRecord, ...]
    runs: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    variance: pd.DataFrame
    control: tuple[str, ...]
    notices: tuple[str, ...]
    plots: tuple[Path, ...]

    @property
    def unsuccessful(self) -> tuple[RunRecord, ...]:
        """The runs that ended any other way than completed."""
        return tuple(record for record in self.records if record.status != "completed")

    @property
    def page(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"


def build(folder: Path) -> Report:
    """Make tables/, plots/ and report.html anew from study.json and runs/; raises BadInput if there is no study."""
    study = store.existing_study(folder)
    records, unreadable = store.read_records(folder, study.plan)
    runs, epochs = tables.runs_table(records), tables.epochs_table(records)
    summary, comparisons = tables.summary_table(runs), comparisons_table(runs, study.plan)
    variance = variance_table({study.plan.vary: runs})
    for name, table in (("runs", runs), ("epochs", epochs), ("summary", summary), ("comparisons", comparisons)):
        tables.write(table, folder / "tables", name)
    tables.write(variance, folder / "tables", "variance")
    shutil.rmtree(folder / "plots", ignore_errors=True)  # none may outlive the records that it shows
    completed = epochs[epochs["run_id"].isin(runs.loc[runs["status"] == "completed", "run_id"])]
    drawn = plots.draw_all(completed, tables.clocks_table(records), folder / "plots")
    report = Report(
        folder,
        study,
        tuple(records),
        runs,
        summary,
        comparisons,
        variance,
        tuple(control_sentences(comparisons)),
        tuple(notices(study.plan, records, unreadable)),
        tuple(drawn),
    )
    store.write_atomically(report.page, page.render(report).encode())
    return report
