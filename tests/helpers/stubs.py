"""Stand-ins for a training run, for tests of placing, retrying and telling: they take the time and place of one."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from lenet.data import FashionMnist
from runners.core.events import EpochDone, Report, Work
from runners.core.record import Clock, EpochRow, RunRecord, RunResult
from runners.core.spec import Job

NO_DATA = FashionMnist(*(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)) * 2, sha256="0" * 64)


def row(epoch: int) -> EpochRow:
    return EpochRow(
        epoch=epoch,
        train_loss=1.0,
        train_accuracy=0.5,
        test_loss=1.0,
        test_accuracy=0.5,
        learning_rate=0.001,
        train_seconds=0.1,
        eval_seconds=0.1,
    )


def stub(
    notes: Path,
    seconds_per_epoch: float = 0.1,
    raises: str | None = None,
    dies_at_epoch: int | None = None,
    deaths: int = 10**6,
) -> Work:
    """A run that notes its process and interval in `notes`, and on the way may raise, or be killed by SIGKILL."""

    def work(job: Job, data: FashionMnist, report: Report, began_at: float | None) -> tuple[RunResult, ...]:
        (spec,) = job
        start, attempt = time.time(), len(list(notes.glob(f"{spec.run_id}.*")))
        (notes / f"{spec.run_id}.{attempt}").write_text(
            f"{os.getpid()} {start} inf {os.environ.get('CUDA_VISIBLE_DEVICES')}"
        )
        rows = []
        for epoch in range(1, spec.epochs + 1):
            time.sleep(seconds_per_epoch)
            if epoch == dies_at_epoch and attempt < deaths:
                os.kill(os.getpid(), signal.SIGKILL)
            if raises is not None and spec.contender.framework == raises:
                raise ValueError(f"a stub's deliberate error in {spec.run_id}")
            rows.append(row(epoch))
            report(EpochDone(spec.run_id, rows[-1]))
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        (notes / f"{spec.run_id}.{attempt}").write_text(f"{os.getpid()} {start} {time.time()} {visible}")
        seconds = time.time() - start
        clock = Clock(other_seconds=seconds, total_seconds=seconds)
        record = RunRecord(run_id=spec.run_id, spec=spec, status="completed", epochs=tuple(rows), clock=clock)
        return (RunResult(record, predictions=np.zeros(10_000, np.uint8)),)

    return work


def intervals(notes: Path) -> list[tuple[int, float, float, str]]:
    """Process, start, end and visible GPUs of every attempt."""
    found = []
    for path in notes.iterdir():
        pid, start, end, *visible = path.read_text().split()
        found.append((int(pid), float(start), float(end), " ".join(visible)))
    return found


def pid_and(item: int, data: FashionMnist) -> tuple[int, int, str]:
    return os.getpid(), item, data.sha256


def raises_or_dies(item: str, _data: FashionMnist) -> None:
    if item == "raise":
        raise ValueError("on purpose")
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at_first(item: tuple[Path, int], _data: FashionMnist) -> int:
    """Notes each of its starts; the process is killed in the first `item[1]` of them. Returns how many there were."""
    notes, deaths = item
    with notes.open("a") as file:
        file.write("x")
    starts = len(notes.read_text())
    if starts <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return starts


def tells_its_pid_and_sleeps(item: Path, _data: FashionMnist) -> None:
    item.write_text(str(os.getpid()))
    time.sleep(600)
