"""Compare frameworks: the same LeNet-5 on the same Fashion-MNIST, each run in a process of its own, placed by Ray."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cluster.study import Permissions, complete
from lenet.data import load
from runners.core import store
from runners.core.spec import Adam
from runners.core.study import Plan
from runners.report.build import build
from runners.report.output.json import to_json
from runners.report.output.terminal import show
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
            tell = partial(console.print, markup=False, highlight=False)
            complete(out, plan, wanted_device, address, data, permissions, tell, partial(Progress, console))
            report = build(out)
        show(report, console)
        if as_json:
            print(to_json(report))
    if fail_if_different and report.differs:
        raise SystemExit(options.DIFFERENT)
    raise SystemExit(options.RUNS_FAILED if report.unsuccessful else 0)


if __name__ == "__main__":
    options.run_app(compare)
