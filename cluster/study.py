"""Complete a study: settle its plan, audit it once, do its missing runs, and record each run as it ends."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cluster.executor import execute
from cluster.isolation import environments_of, shared
from cluster.nodes import device_here, slots
from cluster.parity import announcement, run_audit
from cluster.place import Place
from cluster.ready import Session, ready
from cluster.resources import need_of
from cluster.screen import Screen
from cluster.session import session
from lenet.data import FashionMnist
from runners.core import environment, store
from runners.core.attempts import Attempts
from runners.core.errors import NotMatched
from runners.core.events import Event
from runners.core.record import RunRecord, RunResult
from runners.core.run import run_job_of_study
from runners.core.spec import RunSpec
from runners.core.study import Plan, Study, continued, to_do
from runners.parity import checks
from runners.report.sections.parity import summary


@dataclass(frozen=True)
class Permissions:
    """What the user allows beyond the plan."""

    retry_failed: bool = False
    go_on_unmatched: bool = False


def complete(
    folder: Path, plan: Plan, place: Place, data: FashionMnist, permissions: Permissions, screen: Screen
) -> None:
    """Do the runs of the plan that the results folder lacks. The caller has locked the folder.

    Raises BadInput if the folder has another plan or the plan cannot be done, NotMatched if the parity audit fails,
    and ClusterLost if the cluster fails.
    """
    begun = store.read_study(folder)
    with ExitStack() as stack:
        where, device = None, place.device
        if device == "auto" and begun is not None:
            device = begun.plan.device
        elif device == "auto":  # only the cluster knows
            where = stack.enter_context(session(place.address))
            device = device_here()
        settled = partial(_settled, begun, plan.model_copy(update={"device": device}), data)
        frameworks = {contender.framework for contender in plan.contenders}
        if environments_of(device, place.isolate) is shared:
            study = settled(environment.installed_versions(frameworks))
        else:  # only the processes of runs know their versions
            study = settled(begun.versions if begun else {})
        specs, again = _due(folder, study, permissions, screen)
        if not specs:
            return
        where = where or stack.enter_context(session(place.address))
        cluster = ready(place, device, where, frameworks, specs, screen.say)
        study = settled(cluster.software.versions)
        store.write_study(folder, study)
        store.save_labels(folder, data.test_labels)
        if any(spec.track == "matched" for spec in specs):
            _audit_once(folder, study, data, permissions, cluster, screen)
        _do_runs(folder, specs, again, data, cluster, screen)


def _settled(begun: Study | None, plan: Plan, data: FashionMnist, versions: dict[str, str]) -> Study:
    """Return a study of this plan with this code and data, or the begun study if it can continue with them."""
    study = Study(
        plan=plan,
        command=shlex.join(["python", *sys.argv]),
        git_commit=environment.git_commit(),
        code_sha256=environment.code_sha256(),
        data_sha256=data.sha256,
        versions=versions,
        driver=environment.machine(),
    )
    return continued(begun, study) if begun else study


def _due(
    folder: Path, study: Study, permissions: Permissions, screen: Screen
) -> tuple[tuple[RunSpec, ...], dict[str, RunRecord]]:
    """Return the runs to do, and the records, by run id, of the runs among them that are repeated."""
    recorded, unreadable = store.read_records(folder, study)
    for item in unreadable:
        screen.say(f"{item.path} is skipped: {item.reason}")
    again = {r.run_id: r for r in recorded if permissions.retry_failed and r.status in ("failed", "oom")}
    return to_do(study.plan, {r.run_id for r in recorded} - again.keys()), again


def _audit_once(
    folder: Path, study: Study, data: FashionMnist, permissions: Permissions, cluster: Session, screen: Screen
) -> None:
    """Audit the contenders of a matched study, unless the folder has a passed audit with the same conditions.

    Raises NotMatched if a check fails, unless the study may go on unmatched.
    """
    known, plan = checks.read(folder), study.plan
    if len(plan.contenders) < 2 or (known and not known.failed and known.is_of(study)):
        return
    screen.say(announcement(plan.contenders, "quick"))
    audit = run_audit(plan.contenders, plan, "quick", data, cluster.call_each, cluster.software)
    checks.write(folder, audit)
    if audit.failed and not permissions.go_on_unmatched:
        raise NotMatched(f"{summary(audit)}; mend that, or repeat with --allow-unmatched to compare them unpaired")
    screen.say(summary(audit))


def _do_runs(
    folder: Path,
    specs: Sequence[RunSpec],
    again: dict[str, RunRecord],
    data: FashionMnist,
    cluster: Session,
    screen: Screen,
) -> None:
    """Do the runs, and record each as soon as it ends. A run fails if its process has other software."""
    needs = dict.fromkeys(map(need_of, specs))
    at_once = min(max(map(slots, needs)), len(specs))
    runs = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    screen.say(
        f"{runs} to do, {at_once} at a time, each with {' or '.join(map(str, needs))} of its own. {cluster.where}"
    )
    work = partial(run_job_of_study, cluster.software)
    attempts = Attempts(folder, again)
    with screen.show_progress(specs, at_once) as progress:

        def report(event: Event) -> None:
            attempts.count(event)
            progress.report(event)

        for result in execute(specs, data, work, report, cluster.environments, cluster.patience_seconds):
            run_id = result.record.run_id
            store.save_result(folder, _with_earlier_attempts(result, attempts.earlier(run_id)))
            attempts.ended(run_id)
            progress.ended(result.record)


def _with_earlier_attempts(result: RunResult, earlier: int) -> RunResult:
    """Add the attempts made before: an earlier attempt failed, or its driver died."""
    attempts = result.record.attempts + earlier
    return replace(result, record=result.record.model_copy(update={"attempts": attempts}))
