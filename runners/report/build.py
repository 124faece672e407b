"""From a results folder to everything that is reported of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from runners.core import store
from runners.core.errors import BadInput
from runners.core.record import RunRecord
from runners.core.store import Kept
from runners.core.study import Study
from runners.core.text import printable
from runners.parity import checks as parity
from runners.parity import divergence
from runners.parity.checks import Audit
from runners.parity.divergence import Divergence
from runners.report import markdown, page, pilot, tables
from runners.report.agreement import agreement_table
from runners.report.comparisons import any_differ, comparisons_table
from runners.report.control import control_sentences
from runners.report.defaults_worth import defaults_table
from runners.report.divergence import divergence_table
from runners.report.gallery import draw_all
from runners.report.notices import audit_notices, notices
from runners.report.plots import Plot
from runners.report.scaling import scaling_table
from runners.report.variance import Source, variance_table
from runners.report.wrong_winner import wrong_winner_table


@dataclass(frozen=True)
class Report:
    """A study's records and what is made of them."""

    folder: Path
    study: Study
    records: tuple[RunRecord, ...]
    unreadable: tuple[Path, ...]  # files in runs/ that hold no record of the study
    runs: pd.DataFrame
    epochs: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    audit: Audit | None
    divergence: Divergence | None
    agreements: pd.DataFrame
    defaults: pd.DataFrame
    variance: pd.DataFrame
    wrong_winner: pd.DataFrame
    scaling: pd.DataFrame
    control: tuple[str, ...]
    notices: tuple[str, ...]
    plots: tuple[Plot, ...] = ()  # once they are drawn

    @property
    def unsuccessful(self) -> tuple[RunRecord, ...]:
        """The runs that ended any other way than completed."""
        return tuple(record for record in self.records if record.status != "completed")

    @property
    def differs(self) -> bool:
        """Whether any two contenders differ in the primary metric, corrected for the number of pairs and tracks."""
        return any_differ(self.comparisons)

    @property
    def page(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"


def build(folder: Path) -> Report:
    """Make tables/, plots/ and the pages anew from study.json and runs/; raises BadInput if there is no study."""
    report = assemble(folder)
    for name, table in _tables(report).items():
        tables.write(table, folder / "tables", name)
    report = replace(report, plots=tuple(draw_all(report)))
    store.write_atomically(report.page, printable(page.render(report)).encode())
    store.write_atomically(folder / "report.md", printable(markdown.render(report)).encode())
    return report


def assemble(folder: Path) -> Report:
    """All that the page says, but for the plots; nothing is written. Raises BadInput if there is no study."""
    study = store.existing_study(folder)
    records, unreadable = store.read_records(folder, study)
    runs = tables.runs_table(records, study.plan.target_accuracy)
    damaged: list[str] = []
    found = _if_whole(parity.read, folder, damaged) if "matched" in study.plan.tracks else None
    audit = found if found and found.is_of(study) else None
    unmatched = audit.unmatched if audit else frozenset()
    predictions, unpredicted = store.read_predictions(folder, [r.run_id for r in records if r.status == "completed"])
    labels = store.read_labels(folder)
    sources = {study.plan.vary: Source(runs, predictions, labels, _if_whole(pilot.kept, folder, damaged))}
    comparisons = comparisons_table(runs, study.plan, unmatched)
    parting = _if_whole(divergence.read, folder, damaged)
    weaknesses = notices(study.plan, records, unreadable, unpredicted, unmatched)
    return Report(
        folder,
        study,
        tuple(records),
        tuple(item.path for item in unreadable),
        runs,
        tables.epochs_table(records),
        tables.summary_table(runs),
        comparisons,
        audit,
        parting,
        agreement_table(study.plan, records, predictions, labels),
        defaults_table(runs, study.plan, unmatched),
        variance_table(sources),
        wrong_winner_table(sources),
        scaling_table(runs, study.plan),
        tuple(control_sentences(comparisons)),
        tuple(damaged + audit_notices(folder, study.plan, records, audit) + weaknesses),
    )


def _if_whole(read: Callable[[Path], Kept | None], folder: Path, damaged: list[str]) -> Kept | None:
    """What `read` finds; where that is damaged the report goes without, and `damaged` gets the notice of it."""
    try:
        return read(folder)
    except BadInput as error:
        damaged.append(f"Left out of this report: {error}.")
        return None


def _tables(report: Report) -> dict[str, pd.DataFrame]:
    """By file name; the last two only where there is something in them."""
    made = {
        "runs": report.runs,
        "epochs": report.epochs,
        "summary": report.summary,
        "comparisons": report.comparisons,
        "agreement": report.agreements,
        "defaults": report.defaults,
        "variance": report.variance,
        "wrong_winner": report.wrong_winner,
    }
    if len(report.scaling):
        made["scaling"] = report.scaling
    if report.divergence:
        made["divergence"] = divergence_table(report.divergence)
    return made
