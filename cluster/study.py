"""Completing a study: settle what it is, audit it once, have its missing runs done, record each as it ends."""

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from cluster.executor import PATIENCE_SECONDS, call_each, execute
from cluster.isolation import Environments, environments_of, shared, versions_on_nodes
from cluster.parity import CallEach, audit_begins, hold_audit
from cluster.resources import need_of
from cluster.session import device_here, preflight, session, slots, wait_for_room
from lenet.data import FashionMnist
from runners.core import environment, store
from runners.core.attempts import Attempts
from runners.core.environment import Software
from runners.core.errors import NotMatched
from runners.core.events import Event
from runners.core.record import RunRecord, RunResult
from runners.core.run import run_of_study
from runners.core.spec import RunSpec
from runners.core.study import Plan, Study, continued, to_do
from runners.parity import checks
from runners.report.sections.parity import summary

Tell = Callable[[str], None]


class Progress(Protocol):
    """Shows runs as they go on."""

    def report(self, event: Event) -> None:
        """Something has happened in a run."""

    def ended(self, record: RunRecord) -> None:
        """A run has ended, and is recorded."""


# Of the runs to do, and how many go on at a time.
ShowProgress = Callable[[Sequence[RunSpec], int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Permissions:
    """What the user allows beyond the plan."""

    retry_failed: bool = False
    go_on_unmatched: bool = False
    wait_seconds: float = 0.0
    isolate: bool | None = None  # None: where GPUs are used

    @property
    def patience_seconds(self) -> float:
        """How long runs wait for a node in place of the last one that could hold them."""
        return max(self.wait_seconds, PATIENCE_SECONDS)


def complete(
    out: Path,
    plan: Plan,
    device: str,
    address: str,
    data: FashionMnist,
    may: Permissions,
    tell: Tell,
    show_progress: ShowProgress,
) -> None:
    """Do what the results folder, held by this process, lacks of the plan, on the cluster at `address`.

    `device` is cpu, gpu, or auto for what the study or else the cluster has. Raises BadInput for what cannot be done or
    does not go together, NotMatched if the parity audit fails, and ClusterLost.
    """
    begun = store.read_study(out)
    with ExitStack() as stack:
        where = None
        if device == "auto" and begun is not None:
            device = begun.plan.device
        elif device == "auto":  # only the cluster knows
            where = stack.enter_context(session(address))
            device = device_here()
        frameworks = {contender.framework for contender in plan.contenders}
        environments = environments_of(device, may.isolate)
        isolates = environments is not shared

        def settled(versions: dict[str, str]) -> Study:
            study = new_study(plan.model_copy(update={"device": device}), data, versions)
            return continued(begun, study) if begun else study

        # Where isolated, only the runs' processes can tell.
        study = settled((begun.versions if begun else {}) if isolates else environment.installed_versions(frameworks))
        recorded, unreadable = store.read_records(out, study)
        for item in unreadable:
            tell(f"{item.path} is skipped: {item.reason}")
        again = {r.run_id: r for r in recorded if may.retry_failed and r.status in ("failed", "oom")}
        specs = to_do(study.plan, {r.run_id for r in recorded} - again.keys())
        if specs:
            where = where or stack.enter_context(session(address))
            needs = tuple(dict.fromkeys(map(need_of, specs)))
            for need in needs:
                wait_for_room(need, may.wait_seconds, tell)
                preflight(need)
            study = settled(versions_on_nodes(frameworks, needs, environments, tell))
            store.write_study(out, study)
            store.save_labels(out, data.test_labels)
            if any(spec.track == "matched" for spec in specs):
                each = partial(call_each, environments=environments, patience_seconds=may.patience_seconds)
                audit_once(out, study, data, may, each, tell)
            do_runs(out, study, specs, data, again, environments, may.patience_seconds, tell, where, show_progress)


def audit_once(out: Path, study: Study, data: FashionMnist, may: Permissions, call_each: CallEach, tell: Tell) -> None:
    """Hold a matched study's contenders to that word, unless they were under the same conditions.

    Raises NotMatched if they fail, unless the study may go on unmatched.
    """
    known, plan = checks.read(out), study.plan
    if len(plan.contenders) < 2 or (known and not known.failed and known.is_of(study)):
        return
    tell(audit_begins(plan.contenders, "quick"))
    done = hold_audit(plan.contenders, plan, "quick", data, call_each, _software(study))
    checks.write(out, done)
    if done.failed and not may.go_on_unmatched:
        raise NotMatched(f"{summary(done)}; mend that, or repeat with --allow-unmatched to compare them unpaired")
    tell(summary(done))


def do_runs(
    out: Path,
    study: Study,
    specs: Sequence[RunSpec],
    data: FashionMnist,
    again: dict[str, RunRecord],
    environments: Environments,
    patience_seconds: float,
    tell: Tell,
    where: str,
    show_progress: ShowProgress,
) -> None:
    """Do the runs on the connected cluster, each recorded as soon as it ends; one that sees other software fails."""
    needs = dict.fromkeys(map(need_of, specs))
    at_once = min(max(map(slots, needs)), len(specs))
    runs = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    tell(f"{runs} to do, {at_once} at a time, each with {' or '.join(map(str, needs))} of its own. {where}")
    work = partial(run_of_study, _software(study))
    attempts = Attempts(out, again)
    with show_progress(specs, at_once) as progress:

        def report(event: Event) -> None:
            attempts.heard(event)
            progress.report(event)

        for result in execute(specs, data, work, report, environments, patience_seconds):
            run_id = result.record.run_id
            store.save_result(out, counting_earlier(result, attempts.earlier(run_id)))
            attempts.ended(run_id)
            progress.ended(result.record)


def counting_earlier(result: RunResult, earlier: int) -> RunResult:
    """The result with the attempts made before, be it because the run had failed or its driver died."""
    attempts = result.record.attempts + earlier
    return replace(result, record=result.record.model_copy(update={"attempts": attempts}))


def new_study(plan: Plan, data: FashionMnist, versions: dict[str, str]) -> Study:
    """The plan with the code and data at hand, and these versions of the packages."""
    return Study(
        plan=plan,
        command=shlex.join(["python", *sys.argv]),
        git_commit=environment.git_commit(),
        code_sha256=environment.code_sha256(),
        data_sha256=data.sha256,
        versions=versions,
        driver=environment.machine(),
    )


def _software(study: Study) -> Software:
    return Software(study.code_sha256, study.versions)
