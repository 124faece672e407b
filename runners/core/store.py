"""A results folder on disk: one atomic file a run, one driver a folder."""

import io
import json
import os
import re
import socket
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from lenet.data import TEST_IMAGES
from runners.core.errors import BadInput
from runners.core.frameworks import FRAMEWORKS
from runners.core.record import RunRecord, RunResult
from runners.core.spec import VARIES, RunSpec
from runners.core.study import Plan, Study, run_specs
from runners.core.text import printable

STUDY, RUNS, PREDICTIONS, CHECKPOINTS = "study.json", "runs", "predictions", "checkpoints"
LABELS = "labels.npy"  # beside the predictions
Kept = TypeVar("Kept", bound=BaseModel)
_LOCK, _HOLDER = ".lock", ".holder.json"
# One of these says that a folder is one of ours: of compare.py and audit.py, copies without hidden files of what
# train.py and seed_variance.py leave, and what holds the studies of seed_variance.py --run.
SIGNS = (
    *(_LOCK, _HOLDER, STUDY, "audit.json", f"{RUNS}/*-seed*.json", "tables/variance.csv"),
    *(f"{vary}/{STUDY}" for vary in VARIES),
)
# Where drivers write, under the folder's lock; a file is written as .NAME.XXXXXXXX.level-field first.
_WRITTEN = (".", RUNS, PREDICTIONS, f"{CHECKPOINTS}/*", "attempts", "tables", "plots")
_UNFINISHED, _OUR_UNFINISHED = ".level-field", re.compile(r"\..+\.[a-z0-9_]{8}\.level-field")


@dataclass(frozen=True)
class Unreadable:
    """A file of a results folder that does not hold what it should, by a name that can be printed, and why."""

    path: Path
    reason: str


def prepare(folder: Path) -> None:
    """Make the folder; raise BadInput if it cannot be written, or holds something and no results of ours."""
    _refuse_others(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"--out {folder} cannot be written: {error.strerror}; name a folder that can") from error


def _refuse_others(folder: Path) -> None:
    """Raise BadInput for a folder of somebody else's: what is written into it could replace files of theirs."""
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}  # none that we would write
    except OSError:  # there is none yet, or `prepare` will tell what is wrong with it
        return
    if names and not any(path for sign in SIGNS for path in folder.glob(sign)):
        raise BadInput(
            f"--out {folder} holds {printable(min(names))} and no results of this program; name an empty folder, a new "
            "one, or one with results"
        )


@contextmanager
def lock(folder: Path) -> Iterator[str | None]:
    """Hold the folder against other drivers. Yields who held it before and died without letting go, if any.

    The lock is the operating system's, so a dead driver's is free; raises BadInput naming a living holder.
    """
    holder = folder / _HOLDER
    try:
        held = FileLock(folder / _LOCK).acquire(timeout=0)
    except Timeout as error:
        raise BadInput(f"{folder} is in use by {_describe(holder)}; wait for it, or use another --out") from error
    except OSError as error:
        raise BadInput(f"{folder / _LOCK} cannot be written: {error.strerror}; name a folder that can") from error
    with held:
        died = _describe(holder) if holder.exists() else None
        _sweep(folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        me = {"host": socket.gethostname(), "pid": os.getpid(), "since": now}
        write_atomically(holder, json.dumps(me).encode())
        try:
            yield died
        finally:
            holder.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what drivers left that were killed while writing; none writes now, for this process holds the lock."""
    root = folder.resolve()
    for path in [path for inside in _WRITTEN for path in folder.glob(f"{inside}/.*{_UNFINISHED}")]:
        in_place = path.resolve() == root / path.relative_to(folder)  # neither a link itself, nor behind one
        if in_place and path.is_file() and _OUR_UNFINISHED.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _describe(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text())
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def read_study(folder: Path) -> Study | None:
    """The folder's study, or None if it holds none; raises BadInput if study.json is damaged."""
    return read_kept(folder / STUDY, Study, "use another --out")


def read_kept(path: Path, kind: type[Kept], advice: str) -> Kept | None:
    """What the file holds, or None if there is no such file; raises BadInput, with the advice, if it is damaged."""
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(_content(path))
    except Exception as error:  # whatever is in the file, it is damaged
        what = kind.__name__.lower()
        raise BadInput(f"{path} is no {what} of this version: {_one_line(error)}; {advice}") from error


def _content(path: Path) -> bytes:
    """Raises BadInput for what is no file: reading a pipe would wait for ever."""
    if not path.is_file():
        raise BadInput("it is no file")
    return path.read_bytes()


def refuse_study(folder: Path) -> None:
    """Raise BadInput if the folder holds a study, of which a run by hand would replace records."""
    if (folder / STUDY).exists():
        raise BadInput(f"{folder} holds a study, whose records a run by hand would replace; use another --out")


def existing_study(folder: Path) -> Study:
    """The folder's study; raises BadInput if it holds none, or a damaged one."""
    study = read_study(folder)
    if study is None:
        raise BadInput(f"{folder} holds no study.json; name the --out folder of scripts/compare.py")
    return study


def write_study(folder: Path, study: Study) -> None:
    """Write study.json."""
    write_atomically(folder / STUDY, study.model_dump_json(indent=2).encode())


def save_result(folder: Path, result: RunResult) -> None:
    """Write a run's files, its record last: a run without a record was not done."""
    run_id, framework = result.record.run_id, result.record.spec.contender.framework
    if result.predictions is not None:
        write_atomically(folder / PREDICTIONS / f"{run_id}.npy", _as_npy(result.predictions))
    if result.checkpoint is not None:
        write_atomically(checkpoint_path(folder, run_id, framework), result.checkpoint)
    write_atomically(folder / RUNS / f"{run_id}.json", result.record.model_dump_json(indent=2).encode())


def checkpoint_path(folder: Path, run_id: str, framework: str) -> Path:
    """Where a run's best weights lie."""
    return folder / CHECKPOINTS / run_id / FRAMEWORKS[framework].checkpoint


def read_records(folder: Path, study: Study) -> tuple[list[RunRecord], list[Unreadable]]:
    """The study's records, by contender, track and seed as it names them, and the files in runs/ that are none.

    Those of runs that other code has done are none either.
    """
    expected = {spec.run_id: spec for spec in run_specs(study.plan)}
    records: list[RunRecord] = []
    unreadable: list[Unreadable] = []
    for path in sorted((folder / RUNS).glob("*.json")):
        try:
            record = RunRecord.model_validate_json(_content(path))
            reason = _another_study(record, expected.get(path.stem), study.code_sha256)
        except Exception as error:  # whatever one file holds, the others are records still
            reason = f"damaged, or no record: {_one_line(error)}"
        if reason:
            unreadable.append(Unreadable(Path(printable(str(path))), reason))
        else:
            records.append(record)
    place = {run_id: index for index, run_id in enumerate(_as_named(study.plan))}
    return sorted(records, key=lambda record: place[record.run_id]), unreadable


def _another_study(record: RunRecord, expected: RunSpec | None, code_sha256: str) -> str:
    """Why the record is not one of the study, or nothing if it is."""
    if record.spec != expected:
        return "a record of another study"
    if record.environment and record.environment.code_sha256 != code_sha256:
        return f"done by other code ({record.environment.code_sha256[:12]}) than the study's ({code_sha256[:12]})"
    return ""


def read_predictions(folder: Path, run_ids: Iterable[str]) -> tuple[dict[str, np.ndarray], list[Unreadable]]:
    """These runs' final predictions by run id, each uint8 (10000,), and the files that hold none."""
    found: dict[str, np.ndarray] = {}
    unreadable: list[Unreadable] = []
    for run_id in run_ids:
        path = folder / PREDICTIONS / f"{run_id}.npy"
        try:
            found[run_id] = _predictions(path)
        except FileNotFoundError:
            unreadable.append(Unreadable(path, "missing"))
        except Exception as error:  # a damaged header fails in any of the ways in which Python source can
            unreadable.append(Unreadable(path, f"damaged: {textwrap.shorten(str(error), 120)}"))
    return found, unreadable


def save_labels(folder: Path, labels: np.ndarray) -> None:
    """Keep the true class of each test image, uint8 (10000,): what tells from predictions which were right."""
    write_atomically(folder / PREDICTIONS / LABELS, _as_npy(labels))


def read_labels(folder: Path) -> np.ndarray | None:
    """The true class of each test image, uint8 (10000,); None if the folder holds none, or a damaged file."""
    found, _ = read_predictions(folder, [Path(LABELS).stem])
    return next(iter(found.values()), None)


def _as_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _predictions(path: Path) -> np.ndarray:
    array = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False)
    if array.dtype != np.uint8 or array.shape != (TEST_IMAGES,):
        raise ValueError(f"{array.dtype} {array.shape} instead of uint8 ({TEST_IMAGES},)")
    return array


def _as_named(plan: Plan) -> list[str]:
    """Run ids by contender, track and seed, as the plan names them."""
    seeds = {seed: index for index, seed in enumerate(plan.seeds)}

    def place(spec: RunSpec) -> tuple[int, int, int]:
        return plan.contenders.index(spec.contender), plan.tracks.index(spec.track), seeds[spec.seed]

    return [spec.run_id for spec in sorted(run_specs(plan), key=place)]


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, durable and whole or not at all: temporary file, fsync, rename.

    Raises BadInput if it cannot be written, as on a full disk; what was there before is intact.
    """
    try:
        _write(path, content)
    except OSError as error:
        raise BadInput(
            f"{path} could not be written: {error.strerror}; what was there before is intact, mend that and repeat the "
            "command"
        ) from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    begins = f".{path.name}."
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=begins, suffix=_UNFINISHED, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)  # the rename itself is durable only once its folder is
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".lstrip(": ")
    return " ".join(str(error).split()) or type(error).__name__
