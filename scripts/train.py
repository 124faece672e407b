"""Do one run in this process, as each of the article's two scripts does."""

if __name__ == "__main__":  # before all else is loaded, which takes seconds
    from scripts import start

    start.begin()


from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.console import Console

from cluster.inline import execute
from cluster.resources import is_train_job
from lenet.data import FashionMnist, load
from runners.core import store
from runners.core.errors import BadInput
from runners.core.quiet import native_stderr_hidden
from runners.core.record import RunRecord
from runners.core.run import run_job
from runners.core.spec import Adam, RunSpec
from runners.core.study import DEFAULTS
from scripts import options
from scripts.options import RESULTS, WHAT, WHERE, option
from scripts.progress import Progress


def train(
    contender: Annotated[str, typer.Argument(help=options.known_contenders(in_one_process=True), rich_help_panel=WHAT)],
    seed: Annotated[int, option(WHAT, "seed of initial weights and batch order")] = 0,
    track: Annotated[str, option(WHAT, "matched or native")] = DEFAULTS.tracks[0],
    epochs: options.Epochs = DEFAULTS.epochs,
    batch_size: options.BatchSize = DEFAULTS.batch_size,
    out: Annotated[Path, option(RESULTS, "folder for record, predictions and best weights")] = Path("results/train"),
    device: Annotated[str, option(WHERE, "cpu or gpu")] = DEFAULTS.device,
    threads: options.Threads = DEFAULTS.threads,
    limit_train: options.LimitTrain = DEFAULTS.limit_train,
    learning_rate: options.LearningRate = DEFAULTS.optimizer.learning_rate,
    early_stopping: options.EarlyStopping = None,
    reduce_lr: options.ReduceLr = None,
    checkpoint: options.Checkpoint = DEFAULTS.checkpoint,
    deterministic: options.Deterministic = DEFAULTS.deterministic,
    data_dir: options.DataDir = None,
) -> None:
    """Train CONTENDER once, show each epoch, and keep its best weights."""
    with options.exit_codes():
        (one_track,) = options.tracks(track, at_most=1)
        named = options.contender(contender)
        spec = RunSpec(
            contender=named,
            track=one_track,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=Adam(learning_rate=learning_rate),
            limit_train=limit_train,
            device=cast(Literal["cpu", "gpu"], options.device(device, ("cpu", "gpu"))),
            threads=threads,
            early_stopping=early_stopping,
            reduce_lr=reduce_lr,
            checkpoint=checkpoint,
            deterministic=deterministic,
        )
        if is_train_job(spec):
            raise BadInput(
                f"{named} has several processes, which Ray places; "
                f"`scripts/compare.py {named} --seeds {seed}-{seed}` does this run"
            )
        store.prepare(out)
        console = options.text_console()
        with options.locked(out, console):
            store.refuse_study(out)
            record = train_here(spec, load(data_dir), out, console)
        if record.clock is not None:
            console.print(f"{record.run_id} {record.status}: {record.clock.train_seconds:.1f} s of training")
        console.print(f"Record, predictions and best weights are in {out}")
    raise SystemExit(0 if record.status == "completed" else options.RUNS_FAILED)


def train_here(spec: RunSpec, data: FashionMnist, out: Path, console: Console) -> RunRecord:
    """Do the run and show its progress; save its record, predictions and best weights."""
    with native_stderr_hidden(), Progress(console, [spec]) as progress:
        (result,) = execute([spec], data, run_job, progress.report)
        store.save_result(out, result)
        progress.ended(result.record)
    return result.record


if __name__ == "__main__":
    options.run_app(train)
