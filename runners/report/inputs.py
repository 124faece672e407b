"""What a report is made from: a study as its folder holds it. Nothing here is computed from the runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from runners.core import store
from runners.core.errors import BadInput
from runners.core.record import RunRecord
from runners.core.store import Kept, Unreadable
from runners.core.study import Plan, Study
from runners.parity import checks, divergence
from runners.parity.checks import Audit
from runners.parity.divergence import Divergence
from runners.report import pilot
from runners.report.pilot import Pilot
from runners.report.tables import epochs_table, runs_table


@dataclass(frozen=True)
class Inputs:
    """A study's records, with everything that was kept beside them."""

    folder: Path
    study: Study
    records: tuple[RunRecord, ...]
    unreadable: tuple[Unreadable, ...]  # files in runs/ that hold no record of the study
    runs: pd.DataFrame
    epochs: pd.DataFrame
    predictions: Mapping[str, np.ndarray]  # of completed runs, by run id: uint8 (images,)
    unpredicted: tuple[Unreadable, ...]  # completed runs without readable predictions
    labels: np.ndarray | None  # the true classes, uint8 (images,)
    audit: Audit | None  # of these contenders, this code and these settings
    divergence: Divergence | None
    pilot: Pilot | None
    damaged: tuple[str, ...]  # a notice for each damaged file that the report goes without

    @property
    def plan(self) -> Plan:
        """What the study compares."""
        return self.study.plan

    @property
    def unmatched(self) -> frozenset[str]:
        """The contenders that fail the parity audit."""
        return self.audit.unmatched if self.audit else frozenset()


def load(folder: Path) -> Inputs:
    """Read a study; raises BadInput if the folder holds none."""
    study = store.existing_study(folder)
    records, unreadable = store.read_records(folder, study)
    damaged: list[str] = []
    audit = _if_whole(checks.read, folder, damaged) if "matched" in study.plan.tracks else None
    known_pilot = _if_whole(pilot.kept, folder, damaged)
    known_divergence = _if_whole(divergence.read, folder, damaged)
    completed = [record.run_id for record in records if record.status == "completed"]
    predictions, unpredicted = store.read_predictions(folder, completed)
    return Inputs(
        folder=folder,
        study=study,
        records=tuple(records),
        unreadable=tuple(unreadable),
        runs=runs_table(records, study.plan.target_accuracy),
        epochs=epochs_table(records),
        predictions=predictions,
        unpredicted=tuple(unpredicted),
        labels=store.read_labels(folder),
        audit=audit if audit and audit.is_of(study) else None,
        divergence=known_divergence,
        pilot=known_pilot,
        damaged=tuple(damaged),
    )


def _if_whole(read: Callable[[Path], Kept | None], folder: Path, damaged: list[str]) -> Kept | None:
    """Return what `read` returns; if the file is damaged return None, and add a notice to `damaged`."""
    try:
        return read(folder)
    except BadInput as error:
        damaged.append(f"Left out of this report: {error}.")
        return None
