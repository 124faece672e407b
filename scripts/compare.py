"""Compare frameworks: the same LeNet-5 on the same Fashion-MNIST, each run in a separate process placed by Ray."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from pathlib import Path
from typing import Annotated

from cluster.place import Place
from cluster.study import Permissions, complete
from lenet.data import load
from runners.core import store
from runners.core.spec import Adam
from runners.core.study import DEFAULTS, Plan
from runners.report.build import build
from runners.report.output.json import to_json
from runners.report.output.terminal import show
from scripts import options
from scripts.options import RECIPE, RESULTS, WHAT, WHERE, option
from scripts.progress import screen

TRACK, SEEDS, OUT = ",".join(DEFAULTS.tracks), str(len(DEFAULTS.seeds)), Path("results/default")
TrackNames = Annotated[str, option(WHAT, "matched, native, or both as matched,native")]
Seeds = Annotated[str, option(WHAT, "a count (5 is 0..4), a list (0,3,7) or a range (0-9)")]
Varying = Annotated[str, option(WHAT, "what a seed changes: all, init (weights), order (of batches) or nothing")]
TargetAccuracy = Annotated[
    float | None,
    option(WHAT, "compare the times to reach this test accuracy (0.9), declared before the runs", metavar="FRACTION"),
]
AllowUnmatched = Annotated[
    bool, option(WHAT, "go on if the parity audit fails; runs are then compared unpaired, and labelled not matched")
]
Scaling = Annotated[str, option(RECIPE, "--batch-size counts for all replicas together (strong) or for each (weak)")]
LrRule = Annotated[str, option(RECIPE, "with --scaling weak, the learning rate follows the batch: none, linear, sqrt")]
WaitForNodes = Annotated[
    float,
    option(
        WHERE,
        "how long to wait for an autoscaling cluster to make room for a run, at most a week",
        min=0,
        max=options.WEEK_SECONDS,
        metavar="SECONDS",
    ),
]
Out = Annotated[Path, option(RESULTS, "results folder; the same command continues where it stopped")]
RetryFailed = Annotated[bool, option(RESULTS, "do the folder's failed and out-of-memory runs again")]


def compare(
    contenders: options.Contenders = None,
    track: TrackNames = TRACK,
    seeds: Seeds = SEEDS,
    vary: Varying = DEFAULTS.vary,
    target_accuracy: TargetAccuracy = DEFAULTS.target_accuracy,
    allow_unmatched: AllowUnmatched = False,
    epochs: options.Epochs = DEFAULTS.epochs,
    batch_size: options.BatchSize = DEFAULTS.batch_size,
    scaling: Scaling = DEFAULTS.scaling,
    lr_rule: LrRule = DEFAULTS.lr_rule,
    limit_train: options.LimitTrain = DEFAULTS.limit_train,
    learning_rate: options.LearningRate = DEFAULTS.optimizer.learning_rate,
    early_stopping: options.EarlyStopping = DEFAULTS.early_stopping,
    reduce_lr: options.ReduceLr = DEFAULTS.reduce_lr,
    deterministic: options.Deterministic = DEFAULTS.deterministic,
    address: options.Address = "auto",
    device: options.Device = "auto",
    threads: options.Threads = DEFAULTS.threads,
    isolate: options.Isolate = None,
    wait_for_nodes: WaitForNodes = 0,
    data_dir: options.DataDir = None,
    out: Out = OUT,
    retry_failed: RetryFailed = False,
    checkpoint: options.Checkpoint = DEFAULTS.checkpoint,
    as_json: options.AsJson = False,
    fail_if_different: options.FailIfDifferent = False,
) -> None:
    """Train each contender once for every seed, and report what differs, by how much, and whether it may be chance.

    Exits 0 if all runs completed, 1 if not (or, with --fail-if-different, if contenders differ), 2 on bad input.
    """
    with options.exit_codes():
        place = Place(address, options.device(device), isolate, wait_for_nodes)
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
        with options.locked(out, console := options.text_console(as_json)):
            complete(out, plan, place, load(data_dir), Permissions(retry_failed, allow_unmatched), screen(console))
            report = build(out)
        show(report, console)
        if as_json:
            print(to_json(report))
    raise SystemExit(options.RUNS_FAILED if report.unsuccessful or (fail_if_different and report.differs) else 0)


if __name__ == "__main__":
    options.run_app(compare)
