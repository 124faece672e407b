"""Compare frameworks: the same LeNet-5 on the same Fashion-MNIST, each run in a process of its own, placed by Ray."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.executor import PATIENCE_SECONDS, call_each, execute
from cluster.isolation import Environments, isolated, shared, versions_on_nodes
from cluster.parity import CallEach, hold_audit
from cluster.resources import need_of
from cluster.session import nodes, preflight, session, slots, wait_for_room
from lenet.data import FashionMnist, load
from runners.core import environment, store
from runners.core.attempts import Attempts
from runners.core.environment import Software
from runners.core.errors import NotMatched
from runners.core.events import Event
from runners.core.record import RunRecord, RunResult
from runners.core.run import run_of_study
from runners.core.spec import Adam, RunSpec
from runners.core.study import Plan, Study, continued, to_do
from runners.parity import checks
from runners.report.audit import summary
from runners.report.build import build
from runners.report.document import to_json
from runners.report.screen import show
from scripts import options
from scripts.progress import Progress

TrackNames = Annotated[str, typer.Option(help="matched, native, or both as matched,native")]
Seeds = Annotated[str, typer.Option(help="a count (5 is 0..4), a list (0,3,7) or a range (0-9)")]
Varying = Annotated[str, typer.Option(help="what a seed changes: all, init (weights), order (of batches) or nothing")]
Scaling = Annotated[str, typer.Option(help="--batch-size is of all replicas together (strong) or of each (weak)")]
LrRule = Annotated[
    str, typer.Option(help="with --scaling weak, the learning rate follows the batch: none, linear, sqrt")
]
Out = Annotated[Path, typer.Option(help="results folder; the same command again goes on where it stopped")]
TargetAccuracy = Annotated[
    float | None,
    typer.Option(metavar="FRACTION", help="test accuracy, as 0.9, whose time of arrival is compared, declared now"),
]
AllowUnmatched = Annotated[
    bool, typer.Option(help="go on if the parity audit fails, compared unpaired and labelled so")
]
RetryFailed = Annotated[bool, typer.Option(help="do the folder's failed and out-of-memory runs again")]
WaitForNodes = Annotated[
    float,
    typer.Option(
        min=0,
        max=options.WEEK_SECONDS,
        metavar="SECONDS",
        help="how long an autoscaling cluster has to make room for a run, at most a week",
    ),
]


@dataclass(frozen=True)
class Permissions:
    """What the user allows beyond the plan."""

    retry_failed: bool
    go_on_unmatched: bool
    wait_seconds: float
    isolate: bool | None  # None: where GPUs are used

    @property
    def patience_seconds(self) -> float:
        """How long runs wait for a node in place of the last one that could hold them."""
        return max(self.wait_seconds, PATIENCE_SECONDS)


def compare(
    contenders: options.Contenders = None,
    track: TrackNames = "matched",
    seeds: Seeds = "5",
    vary: Varying = "all",
    epochs: options.Epochs = 13,
    batch_size: options.BatchSize = 128,
    scaling: Scaling = "strong",
    lr_rule: LrRule = "none",
    out: Out = Path("results/default"),
    address: options.Address = "auto",
    device: options.Device = "auto",
    threads: options.Threads = 1,
    limit_train: options.LimitTrain = 60_000,
    learning_rate: options.LearningRate = 1e-3,
    early_stopping: options.EarlyStopping = None,
    reduce_lr: options.ReduceLr = None,
    target_accuracy: TargetAccuracy = None,
    checkpoint: options.Checkpoint = True,
    deterministic: options.Deterministic = False,
    retry_failed: RetryFailed = False,
    allow_unmatched: AllowUnmatched = False,
    wait_for_nodes: WaitForNodes = 0,
    as_json: options.AsJson = False,
    fail_if_different: options.FailIfDifferent = False,
    isolate: options.Isolate = None,
    data_dir: options.DataDir = None,
) -> None:
    """Train every contender once a seed, and report what differs, by how much, and whether it could be chance.

    Exits 0 when all runs ended well, 1 when some failed (or, if so asked, contenders differ), 2 on bad input, 130 when
    interrupted.
    """
    with options.exit_codes():
        wanted_device = options.device(device)
        plan = Plan(
            contenders=options.contenders(contenders),
            tracks=options.tracks(track),
            seeds=options.seeds(seeds),
            vary=options.vary(vary),
            scaling=options.scaling(scaling),
            lr_rule=options.lr_rule(lr_rule),
            epochs=epochs,
            batch_size=batch_size,
            optimizer=Adam(learning_rate=learning_rate),
            limit_train=limit_train,
            threads=threads,
            early_stopping=early_stopping,
            reduce_lr=reduce_lr,
            target_accuracy=target_accuracy,
            checkpoint=checkpoint,
            deterministic=deterministic,
        )
        store.prepare(out)
        console = options.console_beside(as_json)
        with options.holding(out, console):
            data = load(data_dir)
            permissions = Permissions(retry_failed, allow_unmatched, wait_for_nodes, isolate)
            do_missing_runs(out, plan, wanted_device, address, data, console, permissions)
            report = build(out)
        show(report, console)
        if as_json:
            print(to_json(report))
    if fail_if_different and report.differs:
        raise SystemExit(options.DIFFERENT)
    raise SystemExit(options.RUNS_FAILED if report.unsuccessful else 0)


def do_missing_runs(
    out: Path, plan: Plan, device: str, address: str, data: FashionMnist, console: Console, may: Permissions
) -> None:
    """Settle what the study is, find what it lacks, and have Ray do that."""
    begun = store.read_study(out)
    with ExitStack() as stack:
        where = None
        if device == "auto" and begun is not None:
            device = begun.plan.device
        elif device == "auto":  # only the cluster knows
            where = stack.enter_context(session(address))
            device = "gpu" if any(node.gpus for node in nodes()) else "cpu"
        frameworks = {contender.framework for contender in plan.contenders}
        isolates = device == "gpu" if may.isolate is None else may.isolate
        environments = isolated(device) if isolates else shared

        def settled(versions: dict[str, str]) -> Study:
            study = new_study(plan.model_copy(update={"device": device}), data, versions)
            return continued(begun, study) if begun else study

        # Where isolated, only the runs' processes can tell.
        study = settled((begun.versions if begun else {}) if isolates else environment.installed_versions(frameworks))
        recorded, unreadable = store.read_records(out, study)
        for item in unreadable:
            console.print(f"{item.path} is skipped: {item.reason}", markup=False)
        again = {r.run_id: r for r in recorded if may.retry_failed and r.status in ("failed", "oom")}
        specs = to_do(study.plan, {r.run_id for r in recorded} - again.keys())
        if specs:
            where = where or stack.enter_context(session(address))
            tell = partial(console.print, markup=False, highlight=False)
            needs = tuple(dict.fromkeys(map(need_of, specs)))
            for need in needs:
                wait_for_room(need, may.wait_seconds, tell)
                preflight(need)
            study = settled(versions_on_nodes(frameworks, needs, environments, tell))
            store.write_study(out, study)
            store.save_labels(out, data.test_labels)
            if any(spec.track == "matched" for spec in specs):
                each = partial(call_each, environments=environments, patience_seconds=may.patience_seconds)
                audit_once(out, study, data, console, may, each)
            software = Software(study.code_sha256, study.versions)
            carry_out(out, specs, software, data, again, console, where, environments, may.patience_seconds)


def audit_once(
    out: Path, study: Study, data: FashionMnist, console: Console, may: Permissions, call_each: CallEach
) -> None:
    """Hold a matched study's contenders to that word, unless they were under the same conditions.

    Raises NotMatched if they fail, unless the study may go on unmatched.
    """
    known, plan = checks.read(out), study.plan
    if len(plan.contenders) < 2 or (known and not known.failed and known.is_of(study)):
        return
    console.print(options.audit_begins(plan.contenders, "quick"), markup=False)
    done = hold_audit(plan.contenders, plan, "quick", data, call_each, Software(study.code_sha256, study.versions))
    checks.write(out, done)
    if done.failed and not may.go_on_unmatched:
        raise NotMatched(f"{summary(done)}; mend that, or repeat with --allow-unmatched to compare them unpaired")
    console.print(summary(done), markup=False)


def carry_out(
    out: Path,
    specs: Sequence[RunSpec],
    software: Software,
    data: FashionMnist,
    again: dict[str, RunRecord],
    console: Console,
    where: str,
    environments: Environments,
    patience_seconds: float,
) -> None:
    """Do the runs on the connected cluster, each recorded as soon as it ends; one that sees other software fails."""
    needs = dict.fromkeys(map(need_of, specs))
    at_once = min(max(map(slots, needs)), len(specs))
    runs = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
    console.print(
        f"{runs} to do, {at_once} at a time, each with {' or '.join(map(str, needs))} of its own. {where}", markup=False
    )
    work = partial(run_of_study, software)
    attempts = Attempts(out, again)
    with Progress(console, specs, at_once) as progress:

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


if __name__ == "__main__":
    options.run_app(compare)
