"""From a results folder to everything that is reported of it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runners import audit as parity
from runners import divergence, store
from runners.audit import Audit
from runners.divergence import Divergence
from runners.record import RunRecord
from runners.report import markdown, page, tables
from runners.report.agreement import agreement_table
from runners.report.comparisons import comparisons_table
from runners.report.control import control_sentences
from runners.report.defaults_worth import defaults_table
from runners.report.divergence import divergence_table
from runners.report.gallery import draw_all
from runners.report.headline import Answer, answers
from runners.report.notices import audit_notices, notices
from runners.report.plots import Plot
from runners.report.scaling import scaling_table
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
    audit: Audit | None
    divergence: Divergence | None
    agreements: pd.DataFrame
    defaults: pd.DataFrame
    variance: pd.DataFrame
    scaling: pd.DataFrame
    control: tuple[str, ...]
    notices: tuple[str, ...]
    plots: tuple[Plot, ...]
    answers: tuple[Answer, ...]

    @property
    def unsuccessful(self) -> tuple[RunRecord, ...]:
        """The runs that ended any other way than completed."""
        return tuple(record for record in self.records if record.status != "completed")

    @property
    def differs(self) -> bool:
        """Whether, by the verdict on the primary metric, any two contenders differ."""
        return any(answer.primary and answer.differs for answer in self.answers)

    @property
    def page(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"


def build(folder: Path) -> Report:
    """Make tables/, plots/ and report.html anew from study.json and runs/; raises BadInput if there is no study."""
    study = store.existing_study(folder)
    records, unreadable = store.read_records(folder, study.plan)
    runs, epochs = tables.runs_table(records, study.plan.target_accuracy), tables.epochs_table(records)
    found = parity.read(folder) if "matched" in study.plan.tracks else None
    audit = found if found and found.is_of(study) else None
    unmatched = audit.unmatched if audit else frozenset()
    predictions, unpredicted = store.read_predictions(folder, [r.run_id for r in records if r.status == "completed"])
    made = {
        "runs": runs,
        "epochs": epochs,
        "summary": tables.summary_table(runs),
        "comparisons": comparisons_table(runs, study.plan, unmatched),
        "agreement": agreement_table(study.plan, records, predictions),
        "defaults": defaults_table(runs, study.plan, unmatched),
        "variance": variance_table({study.plan.vary: runs}),
    }
    for name, table in made.items():
        tables.write(table, folder / "tables", name)
    shutil.rmtree(folder / "plots", ignore_errors=True)  # none may outlive the records that it shows
    parting = divergence.read(folder)
    clocks = tables.clocks_table(records)
    scaling = scaling_table(runs, study.plan)
    if len(scaling):
        tables.write(scaling, folder / "tables", "scaling")
    drawn = draw_all(study.plan, runs, epochs, clocks, made["comparisons"], scaling, parting, folder / "plots")
    if parting:
        tables.write(divergence_table(parting), folder / "tables", "divergence")
    report = Report(
        folder,
        study,
        tuple(records),
        runs,
        made["summary"],
        made["comparisons"],
        audit,
        parting,
        made["agreement"],
        made["defaults"],
        made["variance"],
        scaling,
        tuple(control_sentences(made["comparisons"])),
        tuple(
            audit_notices(folder, study.plan, records, audit) + notices(study.plan, records, unreadable, unpredicted)
        ),
        tuple(drawn),
        answers(made["comparisons"], runs, study.plan),
    )
    store.write_atomically(report.page, page.render(report).encode())
    store.write_atomically(folder / "report.md", markdown.render(report).encode())
    return report
