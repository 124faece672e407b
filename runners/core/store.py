"""A results folder on disk: one record a run, written atomically, and one driver at a time."""

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
# A folder with one of these files is a results folder: of compare.py and audit.py, a copy without hidden files from
# train.py or seed_variance.py, or the parent of the studies of seed_variance.py --run.
SIGNS = (
    *(_LOCK, _HOLDER, STUDY, "audit.json", f"{RUNS}/*-seed*.json", "tables/variance.csv"),
    *(f"{vary}/{STUDY}" for vary in VARIES),
)
# Where drivers write while they hold the lock; a file is first written as .NAME.XXXXXXXX.level-field.
_WRITTEN = (".", RUNS, PREDICTIONS, f"{CHECKPOINTS}/*", "attempts", "tables", "plots")
_UNFINISHED, _OUR_UNFINISHED = ".level-field", re.compile(r"\..+\.[a-z0-9_]{8}\.level-field")


@dataclass(frozen=True)
class Unreadable:
    """A missing, damaged or foreign file of a results folder: its path, safe to print, and the reason."""

    path: Path
    reason: str


def prepare(folder: Path) -> None:
    """Make the folder. Raises BadInput if it cannot be written, or has files but no results of this program."""
    _refuse_others(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"--out {folder} cannot be written: {error.strerror}; name a folder that can") from error


def _refuse_others(folder: Path) -> None:
    """Raise BadInput for a folder that is not a results folder: writing there could replace a user's other files."""
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}  # hidden ones are not at risk
    except OSError:  # there is no folder yet, or `prepare` reports what is wrong
        return
    if names and not any(path for sign in SIGNS for path in folder.glob(sign)):
        raise BadInput(
            f"--out {folder} holds {printable(min(names))} and no results of this program; name an empty folder, a new "
            "one, or one with results"
        )


@contextmanager
def lock(folder: Path) -> Iterator[str | None]:
    """Lock the folder against other drivers. Yields the previous holder if it died before it unlocked, else None.

    The operating system frees the lock of a dead driver. Raises BadInput that names a living holder.
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
    """Remove unfinished files of drivers that were killed. No driver writes now, since this process has the lock."""
    root = folder.resolve()
    for path in [path for inside in _WRITTEN for path in folder.glob(f"{inside}/.*{_UNFINISHED}")]:
        in_place = path.resolve() == root / path.relative_to(folder)  # neither a link nor behind one
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
    """Return the folder's study, or None without study.json. Raises BadInput if it is damaged."""
    return read_kept(folder / STUDY, Study, "use another --out")


def read_kept(path: Path, kind: type[Kept], advice: str) -> Kept | None:
    """Return the content of a JSON file, or None without the file. Raises BadInput, with `advice`, if it is damaged."""
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(_content(path))
    except Exception as error:  # whatever the error, the file is damaged
        what = kind.__name__.lower()
        raise BadInput(f"{path} is no {what} of this version: {_one_line(error)}; {advice}") from error


def _content(path: Path) -> bytes:
    """Return the file's bytes. Raises BadInput if it is not a regular file: reading a pipe would wait for ever."""
    if not path.is_file():
        raise BadInput("it is no file")
    return path.read_bytes()


def refuse_study(folder: Path) -> None:
    """Raise BadInput if the folder holds a study, whose records a run by hand would replace."""
    if (folder / STUDY).exists():
        raise BadInput(f"{folder} holds a study, whose records a run by hand would replace; use another --out")


def existing_study(folder: Path) -> Study:
    """Return the folder's study. Raises BadInput if there is none, or if it is damaged."""
    study = read_study(folder)
    if study is None:
        raise BadInput(f"{folder} holds no study.json; name the --out folder of scripts/compare.py")
    return study


def write_study(folder: Path, study: Study) -> None:
    """Write study.json."""
    write_atomically(folder / STUDY, study.model_dump_json(indent=2).encode())


def save_result(folder: Path, result: RunResult) -> None:
    """Write a run's files, its record last: a run without a record counts as not done."""
    run_id, framework = result.record.run_id, result.record.spec.contender.framework
    if result.predictions is not None:
        write_atomically(folder / PREDICTIONS / f"{run_id}.npy", _as_npy(result.predictions))
    if result.checkpoint is not None:
        write_atomically(checkpoint_path(folder, run_id, framework), result.checkpoint)
    write_atomically(folder / RUNS / f"{run_id}.json", result.record.model_dump_json(indent=2).encode())


def checkpoint_path(folder: Path, run_id: str, framework: str) -> Path:
    """Return the path of a run's best weights."""
    return folder / CHECKPOINTS / run_id / FRAMEWORKS[framework].checkpoint


def read_records(folder: Path, study: Study) -> tuple[list[RunRecord], list[Unreadable]]:
    """Return the study's records in plan order, and the files in runs/ that are not among them.

    Plan order is by contender, track and seed. Records of runs by other code are not among them either.
    """
    expected = {spec.run_id: spec for spec in run_specs(study.plan)}
    records: list[RunRecord] = []
    unreadable: list[Unreadable] = []
    for path in sorted((folder / RUNS).glob("*.json")):
        try:
            record = RunRecord.model_validate_json(_content(path))
            reason = _another_study(record, expected.get(path.stem), study.code_sha256)
        except Exception as error:  # one damaged file must not hide the other records
            reason = f"damaged, or no record: {_one_line(error)}"
        if reason:
            unreadable.append(Unreadable(Path(printable(str(path))), reason))
        else:
            records.append(record)
    place = {run_id: index for index, run_id in enumerate(_in_plan_order(study.plan))}
    return sorted(records, key=lambda record: place[record.run_id]), unreadable


def _another_study(record: RunRecord, expected: RunSpec | None, code_sha256: str) -> str:
    """Return why the record does not belong to the study; empty if it does."""
    if record.spec != expected:
        return "a record of another study"
    if record.environment and record.environment.code_sha256 != code_sha256:
        return f"done by other code ({record.environment.code_sha256[:12]}) than the study's ({code_sha256[:12]})"
    return ""


def read_predictions(folder: Path, run_ids: Iterable[str]) -> tuple[dict[str, np.ndarray], list[Unreadable]]:
    """Return these runs' final predictions by run id, each uint8 (10000,), and the unreadable files."""
    predictions: dict[str, np.ndarray] = {}
    unreadable: list[Unreadable] = []
    for run_id in run_ids:
        path = folder / PREDICTIONS / f"{run_id}.npy"
        try:
            predictions[run_id] = _predictions(path)
        except FileNotFoundError:
            unreadable.append(Unreadable(path, "missing"))
        except Exception as error:  # a damaged header can fail in as many ways as Python source
            unreadable.append(Unreadable(path, f"damaged: {textwrap.shorten(str(error), 120)}"))
    return predictions, unreadable


def save_labels(folder: Path, labels: np.ndarray) -> None:
    """Write the true class of each test image, uint8 (10000,), with which predictions are compared."""
    write_atomically(folder / PREDICTIONS / LABELS, _as_npy(labels))


def read_labels(folder: Path) -> np.ndarray | None:
    """Return the true class of each test image, uint8 (10000,), or None if the file is missing or damaged."""
    labels, _ = read_predictions(folder, [Path(LABELS).stem])
    return next(iter(labels.values()), None)


def _as_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _predictions(path: Path) -> np.ndarray:
    array = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False)
    if array.dtype != np.uint8 or array.shape != (TEST_IMAGES,):
        raise ValueError(f"{array.dtype} {array.shape} instead of uint8 ({TEST_IMAGES},)")
    return array


def _in_plan_order(plan: Plan) -> list[str]:
    """Return run ids by contender, track and seed, each in the plan's order."""
    seeds = {seed: index for index, seed in enumerate(plan.seeds)}

    def place(spec: RunSpec) -> tuple[int, int, int]:
        return plan.contenders.index(spec.contender), plan.tracks.index(spec.track), seeds[spec.seed]

    return [spec.run_id for spec in sorted(run_specs(plan), key=place)]


def write_atomically(path: Path, content: bytes) -> None:
    """Write the whole of `content` to `path`, durably, or nothing: temporary file, fsync, rename.

    Raises BadInput if that fails, as on a full disk; an earlier file is then intact.
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
    prefix = f".{path.name}."
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=_UNFINISHED, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)  # only this makes the rename durable
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}".lstrip(": ")
    return " ".join(str(error).split()) or type(error).__name__
