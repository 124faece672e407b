import errno
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from runners.core import store
from runners.core.errors import BadInput
from runners.core.record import Clock, EpochRow, RunRecord, RunResult
from runners.core.spec import RunSpec
from runners.core.study import Plan, Study, continued, run_specs

ROOT = Path(__file__).parents[3]
NAN = float("nan")

PLAN = Plan(contenders=("keras", "torch"), tracks=("matched",), seeds=(0, 1), epochs=2)
HASHES = {"git_commit": None, "code_sha256": "c" * 64, "data_sha256": "d" * 64}
STUDY = Study(plan=PLAN, command="python scripts/compare.py", versions={"python": "3.11.9"}, **HASHES)


def of(plan):
    return STUDY.model_copy(update={"plan": plan})


def record_of(spec, test_loss=0.25, **given):
    row = EpochRow(
        epoch=1,
        train_loss=0.5,
        train_accuracy=0.75,
        test_loss=test_loss,
        test_accuracy=0.875,
        learning_rate=1e-3,
        train_seconds=1 / 3,
        eval_seconds=0.1,
    )
    clock = Clock(total_seconds=2.0, train_seconds=1 / 3, other_seconds=5 / 3)
    whole = {
        "status": "completed",
        "epochs": (row, row.model_copy(update={"epoch": 2})),
        "clock": clock,
        "node": "node-1",
        **given,
    }
    return RunRecord(run_id=spec.run_id, spec=spec, **whole)


def spec_of(contender="keras", seed=0, **settings):
    return RunSpec(contender=contender, seed=seed, **{"epochs": 2, **settings})


def started(code, *arguments, within=()):
    """A process of its own that runs `code`; what it prints and complains can be read as one."""
    return subprocess.Popen(
        [*within, sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # NumPy's threads and fork do not go together
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process):
    """All that the process says until it ends of itself, and ends well."""
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    return text


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Saving and reading back


@pytest.mark.parametrize(
    ("contender", "checkpoint"),
    [("keras", "best_model.weights.h5"), ("torch", "best_model.pt"), ("torch:ddp:2", "best_model.pt")],
)
def test_what_a_run_leaves_behind_is_read_back_unchanged(tmp_path, contender, checkpoint):
    record = record_of(spec_of(contender, 1))
    predictions = np.arange(10_000, dtype=np.uint8) % 10
    store.save_result(tmp_path, RunResult(record, predictions, b"\x89weights\r\n\x00"))
    run_id = record.run_id
    assert files(tmp_path) == [
        f"checkpoints/{run_id}/{checkpoint}",
        f"predictions/{run_id}.npy",
        f"runs/{run_id}.json",
    ]
    plan = PLAN.model_copy(update={"contenders": (record.spec.contender,)})
    assert store.read_records(tmp_path, of(plan)) == ([record], [])
    loaded = np.load(tmp_path / "predictions" / f"{run_id}.npy", allow_pickle=False)
    assert (loaded.dtype, loaded.tolist()) == (np.uint8, predictions.tolist())
    path = store.checkpoint_path(tmp_path, run_id, record.spec.contender.framework)
    assert path.read_bytes() == b"\x89weights\r\n\x00"


def test_a_run_that_left_only_a_record_leaves_only_that(tmp_path):
    record = record_of(spec_of(), status="failed", error="Traceback:\n  ünïcode \x1b[31m", epochs=(), clock=None)
    store.save_result(tmp_path, RunResult(record))
    assert files(tmp_path) == ["runs/keras-matched-seed0.json"]
    assert store.read_records(tmp_path, STUDY) == ([record], [])


def test_a_run_done_again_replaces_its_record(tmp_path):
    failed, completed = record_of(spec_of(), status="failed"), record_of(spec_of(), attempts=2)
    for record in (failed, completed):
        store.save_result(tmp_path, RunResult(record))
    assert store.read_records(tmp_path, STUDY) == ([completed], [])


def test_records_come_by_contender_track_and_seed_as_the_plan_names_them(tmp_path):
    plan = Plan(contenders=("torch", "keras"), tracks=("native", "matched"), seeds=(10, 9), epochs=2)
    for spec in run_specs(plan):
        store.save_result(tmp_path, RunResult(record_of(spec)))
    records, _ = store.read_records(tmp_path, of(plan))
    named = itertools.product(("torch", "keras"), ("native", "matched"), (10, 9))
    assert [(str(r.spec.contender), r.spec.track, r.spec.seed) for r in records] == list(named)


@pytest.mark.parametrize("vary", ["all", "init", "order", "nothing"])
def test_a_topped_up_study_reads_its_old_records(tmp_path, vary):
    old = STUDY.model_copy(update={"plan": Plan(**{**PLAN.model_dump(), "vary": vary})})
    records = [record_of(spec) for spec in run_specs(old.plan)]
    for record in records:
        store.save_result(tmp_path, RunResult(record))
    more = old.model_copy(update={"plan": old.plan.model_copy(update={"seeds": (5, 0, 1, 6)})})
    found, unreadable = store.read_records(tmp_path, continued(old, more))
    assert (len(found), unreadable) == (len(records), [])


def test_a_record_of_a_study_that_varied_something_else_is_none_of_this_one_s(tmp_path):
    for spec in run_specs(PLAN):
        store.save_result(tmp_path, RunResult(record_of(spec)))
    found, foreign = store.read_records(tmp_path, of(PLAN.model_copy(update={"vary": "init"})))
    assert [record.spec.seed for record in found] == [0, 0]  # whose draws are the same
    assert [(path.path.name, path.reason) for path in foreign] == [
        ("keras-matched-seed1.json", "a record of another study"),
        ("torch-matched-seed1.json", "a record of another study"),
    ]


def test_a_record_is_written_last_so_that_a_run_without_its_files_is_not_done(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(BadInput, match=r"checkpoints/\S+ could not be written: Not a directory; what was"):
        store.save_result(tmp_path, RunResult(record_of(spec_of()), np.zeros(10, np.uint8), b"weights"))
    assert store.read_records(tmp_path, STUDY) == ([], [])


# What is in runs/ and does not belong there


def truncated(record):
    return record.model_dump_json().encode()[:-40]


def with_id(run_id):
    return lambda record: json.dumps({**record.model_dump(mode="json"), "run_id": run_id}).encode()


def with_spec(**changes):
    def changed(record):
        whole = record.model_dump(mode="json")
        return json.dumps({**whole, "spec": {**whole["spec"], **changes}}).encode()

    return changed


RUN_ID = "keras-matched-seed0"
DAMAGED = "damaged, or no record: "
INTRUDERS = {
    "truncated": (RUN_ID, truncated, f"{DAMAGED}Invalid JSON: EOF"),
    "empty": (RUN_ID, lambda _: b"", f"{DAMAGED}Invalid JSON: EOF"),
    "binary": (RUN_ID, lambda _: b"\x93NUMPY\x01\x00\xff", f"{DAMAGED}Invalid JSON"),
    "foreign JSON": ("package", lambda _: b'{"name": "level-field"}', f"{DAMAGED}run_id: Field required"),
    "a list": ("list", lambda _: b"[1, 2]", f"{DAMAGED}Input should be an object"),
    "endlessly nested": ("nested", lambda _: b"[" * 100_000, f"{DAMAGED}Invalid JSON: recursion limit exceeded"),
    "of a later version": (
        RUN_ID,
        lambda record: json.dumps({**record.model_dump(mode="json"), "mood": "good"}).encode(),
        f"{DAMAGED}mood: Extra inputs are not permitted",
    ),
    "under another name": ("torch-matched-seed1", lambda r: r.model_dump_json().encode(), "a record of another study"),
    "a copy": (f"{RUN_ID} (copy)", lambda record: record.model_dump_json().encode(), "a record of another study"),
    "a seed not planned": (
        "keras-matched-seed7",
        lambda record: record_of(spec_of(seed=7)).model_dump_json().encode(),
        "a record of another study",
    ),
    "other settings": (RUN_ID, with_spec(batch_size=64), "a record of another study"),
    "an id that climbs out": ("x", with_id("../../x"), f"{DAMAGED}Value error, run_id '../../x' is not its spec's"),
    "an unknown framework": (RUN_ID, with_spec(contender="jax"), f"{DAMAGED}spec.contender: Value error, unknown"),
    "a contender in parts": (
        "x",
        with_spec(contender={"framework": "../../x"}),
        f"{DAMAGED}spec.contender",
    ),
    "completed, with NaN": (
        RUN_ID,
        lambda r: r.model_dump_json().replace('"test_loss":0.25', '"test_loss":"NaN"').encode(),
        f"{DAMAGED}Value error, {RUN_ID} is completed, but its losses",
    ),
    "an impossible seed": (RUN_ID, with_spec(seed=-1), f"{DAMAGED}spec.seed: Input should be greater"),
}


@pytest.mark.parametrize(("name", "content", "reason"), INTRUDERS.values(), ids=INTRUDERS)
def test_a_file_that_is_no_record_of_the_study_is_named_and_skipped(tmp_path, name, content, reason):
    good = record_of(spec_of("torch", 0))
    store.save_result(tmp_path, RunResult(good))
    path = tmp_path / "runs" / f"{name}.json"
    path.write_bytes(content(record_of(spec_of())))
    records, (unreadable,) = store.read_records(tmp_path, STUDY)
    assert records == [good]
    assert unreadable.path == path
    assert unreadable.reason.startswith(reason)
    assert "\n" not in unreadable.reason


LARGER_THAN_MEMORY = """
import resource, sys
from pathlib import Path
from runners.core.store import read_records
from runners.core.study import Study
resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35))
(record,), (unreadable,) = read_records(Path(sys.argv[1]), Study.model_validate_json(sys.argv[2]))
print(unreadable.reason)
"""


def test_a_file_larger_than_memory_is_named_and_skipped(tmp_path):
    store.save_result(tmp_path, RunResult(record_of(spec_of("torch", 0))))
    with (tmp_path / "runs" / f"{RUN_ID}.json").open("wb") as file:
        file.truncate(2**36)
    assert said(started(LARGER_THAN_MEMORY, tmp_path, STUDY.model_dump_json())) == f"{DAMAGED}MemoryError\n"


@pytest.mark.parametrize("kind", ["folder", "dangling link", "pipe"])
def test_what_cannot_even_be_opened_is_named_and_skipped(tmp_path, kind):
    path = tmp_path / "runs" / f"{RUN_ID}.json"
    path.parent.mkdir()
    make = {"folder": path.mkdir, "pipe": partial(os.mkfifo, path)}
    make.get(kind, partial(path.symlink_to, tmp_path / "nowhere"))()
    assert [item.path for item in store.read_records(tmp_path, STUDY)[1]] == [path]


def test_other_files_and_folders_are_left_alone(tmp_path):
    store.save_result(tmp_path, RunResult(record_of(spec_of())))
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    (tmp_path / "runs" / f".{RUN_ID}.json.x7_wk").write_text("of a driver that was killed while writing")
    assert store.read_records(tmp_path, STUDY)[1] == []


def test_a_study_is_read_back_unchanged(tmp_path):
    assert store.read_study(tmp_path) is None
    store.write_study(tmp_path, STUDY)
    assert store.read_study(tmp_path) == STUDY
    assert files(tmp_path) == ["study.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (STUDY.model_dump_json()[:-30], "Invalid JSON: EOF"),
        ("", "Invalid JSON: EOF"),
        ("[]", "Input should be an object"),
        ('{"name": "foreign"}', "plan: Field required"),
        (STUDY.model_dump_json().replace('"epochs":2', '"epochs":0'), "plan.epochs: Input should be greater than"),
        (STUDY.model_dump_json().replace('"keras"', '"jax"'), "plan.contenders.0: Value error, unknown framework"),
        (STUDY.model_dump_json().replace("{", '{"of_version_9": 1, ', 1), "of_version_9: Extra inputs"),
    ],
    ids=["truncated", "empty", "list", "foreign", "impossible", "unknown framework", "of a later version"],
)
def test_a_damaged_study_is_refused_with_its_path_and_what_to_do(tmp_path, content, reason):
    path = tmp_path / "study.json"
    path.write_text(content)
    with pytest.raises(BadInput) as refusal:
        store.read_study(tmp_path)
    assert str(refusal.value).startswith(f"{path} is no study of this version: {reason}")
    assert str(refusal.value).endswith("; use another --out")


# The folder


def test_the_folder_is_made_with_all_above_it_and_left_as_it_is(tmp_path):
    folder = tmp_path / "a" / "b"
    store.prepare(folder)
    (folder / ".gitkeep").touch()  # hidden files do not make a folder somebody else's
    store.prepare(folder)
    assert [path.name for path in folder.iterdir()] == [".gitkeep"]


@pytest.mark.parametrize(("below", "reason"), [("file", "File exists"), ("file/results", "Not a directory")])
def test_a_folder_where_a_file_is_in_the_way_is_refused(tmp_path, below, reason):
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / below
    with pytest.raises(BadInput, match=re.escape(f"--out {folder} cannot be written: {reason}; name a folder that")):
        store.prepare(folder)
    assert (tmp_path / "file").read_text() == "mine"


# Writes that fail or are cut short

FAILING_WRITE = """
import sys
from pathlib import Path
from runners.core.errors import BadInput
from runners.core.store import write_atomically
path = Path(sys.argv[1], "runs", "x.json")
write_atomically(path, b"old" * 1000)
PREPARE
try:
    write_atomically(path, b"new" * 100_000)
except BadInput as error:
    print(error)
print(path.read_bytes() == b"old" * 1000, [file.name for file in path.parent.iterdir()])
"""
FILE_SIZE_LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
ON_A_TINY_DISK = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=128k tmpfs "$0" && exec "$@"']


def may_mount():
    """Whether a disk can be mounted here that only the process on it sees."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "--mount", "true"], check=False).returncode == 0


A_DISK = pytest.mark.skipif(not may_mount(), reason="a small disk cannot be mounted here, which takes unshare and root")


@pytest.mark.parametrize("full_disk", [False, pytest.param(True, marks=A_DISK)])
def test_a_write_that_is_cut_off_leaves_the_old_file_and_nothing_else(tmp_path, full_disk):
    code = FAILING_WRITE.replace("PREPARE", "" if full_disk else FILE_SIZE_LIMIT)
    text = said(started(code, tmp_path, within=[*ON_A_TINY_DISK, tmp_path] if full_disk else []))
    reason = os.strerror(errno.ENOSPC if full_disk else errno.EFBIG)
    refusal = f"{tmp_path / 'runs' / 'x.json'} could not be written: {reason}; what was there before is intact, "
    assert text == f"{refusal}mend that and repeat the command\nTrue ['x.json']\n"


KILLED_WRITES = """
import os, random, signal, sys, time
from pathlib import Path
from runners.core.record import RunRecord, RunResult
from runners.core.store import read_records, save_result
from runners.core.study import Study

def save_over_and_over():
    for number in range(10**9):
        longer = record.model_copy(update={"error": "x" * (number % 7) * 50_000, "attempts": number + 2})
        save_result(folder, RunResult(longer))

folder, record = Path(sys.argv[1]), RunRecord.model_validate_json(sys.argv[2])
study = Study.model_validate_json(sys.argv[3])
save_result(folder, RunResult(record))
latest = []
for kill in range(30):
    child = os.fork()
    if child == 0:
        save_over_and_over()
    time.sleep(random.Random(kill).uniform(0.01, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (whole,), unreadable = read_records(folder, study)
    assert not unreadable, unreadable
    latest.append(whole.attempts)
print(max(latest), len(list((folder / "runs").iterdir())))
"""


def test_a_driver_killed_while_writing_leaves_no_damaged_record_and_nothing_that_the_next_does_not_remove(tmp_path):
    record = record_of(spec_of(), status="failed")
    written, left = map(
        int, said(started(KILLED_WRITES, tmp_path, record.model_dump_json(), STUDY.model_dump_json())).split()
    )
    assert written > 1  # records did get written,
    assert left > 1  # and some kills did strike in the middle of it
    with store.lock(tmp_path):
        assert files(tmp_path) == [".holder.json", ".lock", f"runs/{RUN_ID}.json"]


# The lock

HOLDER = """
import signal, sys
from pathlib import Path
from runners.core import store
signal.signal(signal.SIGINT, signal.default_int_handler)
with store.lock(Path(sys.argv[1])) as died:
    print("held", flush=True)
    sys.stdin.read()
    if sys.argv[2:]:
        raise RuntimeError(sys.argv[2])
"""


@pytest.fixture
def holding(tmp_path):
    """Start a process that holds the folder; it ends when its input does."""
    processes = []

    def start(*arguments):
        processes.append(started(HOLDER, tmp_path, *arguments))
        assert processes[-1].stdout.readline() == "held\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_second_driver_is_refused_and_told_who_holds_the_folder_and_since_when(tmp_path, holding):
    before = datetime.now(UTC).replace(microsecond=0)
    holder = holding()
    with pytest.raises(BadInput) as refusal, store.lock(tmp_path):
        pytest.fail("two drivers hold the folder")
    told = re.fullmatch(
        r"(.+) is in use by process (\d+) on (.+) since (\S+); wait for it, or use another --out", str(refusal.value)
    )
    assert told
    assert told[1] == str(tmp_path)
    assert int(told[2]) == holder.pid
    assert told[3] == socket.gethostname()
    assert before <= datetime.fromisoformat(told[4]) <= before + timedelta(seconds=60)
    assert holder.poll() is None  # and the holder goes on holding it


def test_the_lock_of_a_killed_driver_is_taken_over_and_that_is_said(tmp_path, holding):
    holder = holding()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with store.lock(tmp_path) as died:
        assert died
        assert died.startswith(f"process {holder.pid} on {socket.gethostname()} since ")
        with pytest.raises(BadInput, match=f"in use by process {os.getpid()} on"), store.lock(tmp_path):
            pytest.fail("two drivers hold the folder")
    with store.lock(tmp_path) as died:
        assert died is None


@pytest.mark.parametrize("end", ["normally", "by an exception", "by Ctrl-C"])
def test_a_driver_that_ends_by_itself_lets_go(tmp_path, holding, end):
    holder = holding(*["it broke"] * (end == "by an exception"))
    if end == "by Ctrl-C":
        holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=60)
    assert (holder.returncode == 0) == (end == "normally")
    assert not (tmp_path / ".holder.json").exists()
    with store.lock(tmp_path) as died:
        assert died is None


@pytest.mark.parametrize("content", ["", '{"pid": 1}', "{", "[]"])
def test_a_holder_file_that_says_nothing_is_no_obstacle(tmp_path, content):
    (tmp_path / ".holder.json").write_text(content)
    with store.lock(tmp_path) as died:
        assert died == "another process"


def test_a_lock_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / ".lock").mkdir()
    with (
        pytest.raises(BadInput, match=r"\.lock cannot be written: Is a directory; name a folder that can"),
        store.lock(tmp_path),
    ):
        pytest.fail("held")


def test_a_holder_that_cannot_be_written_is_refused_and_the_folder_let_go(tmp_path):
    (tmp_path / ".holder.json").mkdir()
    with (
        pytest.raises(BadInput, match=r"\.holder\.json could not be written: Is a directory; what was there"),
        store.lock(tmp_path),
    ):
        pytest.fail("held")
    (tmp_path / ".holder.json").rmdir()
    with store.lock(tmp_path) as died:
        assert died is None


def test_two_folders_have_a_lock_each(tmp_path):
    (tmp_path / "other").mkdir()
    with store.lock(tmp_path), store.lock(tmp_path / "other") as died:
        assert died is None


def test_predictions_are_read_back_by_run(tmp_path):
    given = {spec: np.full(10_000, index, np.uint8) for index, spec in enumerate(run_specs(PLAN))}
    for spec, predictions in given.items():
        store.save_result(tmp_path, RunResult(record_of(spec), predictions=predictions))
    found, unreadable = store.read_predictions(tmp_path, [spec.run_id for spec in given])
    assert unreadable == []
    assert all((found[spec.run_id] == predictions).all() for spec, predictions in given.items())
    assert store.read_predictions(tmp_path, []) == ({}, [])
    missing = store.Unreadable(tmp_path / "predictions" / "x.npy", "missing")
    (tmp_path / "predictions" / "y.npy").mkdir()
    nothing, (first, second) = store.read_predictions(tmp_path, ["x", "y"])
    assert (nothing, first) == ({}, missing)
    assert "directory" in second.reason


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


WHOLE = npy(np.zeros(10_000, np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged: .*magic"),
        (b"hello", "damaged: .*magic"),
        (WHOLE[:5_000], "damaged: "),
        (WHOLE[:40], "damaged: "),
        (WHOLE.replace(b"{'descr'", b"{'descr "), "damaged: "),
        (WHOLE.replace(b"(10000,)", b"((((((()"), "damaged: "),
        (WHOLE.replace(b"(10000,)", b"(9**99,)"), "damaged: "),
        (b"PK\x03\x04 a zip file", "damaged: .*magic"),
        (npy(np.array([{}], object)), "damaged: .*pickle"),
        (npy(np.zeros(10_000, np.int64)), r"damaged: int64 \(10000,\) instead of uint8 \(10000,\)"),
        (npy(np.zeros((10_000, 1), np.uint8)), r"damaged: uint8 \(10000, 1\) instead of uint8 \(10000,\)"),
        (npy(np.zeros(9_999, np.uint8)), r"damaged: uint8 \(9999,\) instead of uint8 \(10000,\)"),
    ],
)
def test_damaged_predictions_are_named_and_the_others_read(tmp_path, content, reason):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "a.npy").write_bytes(content)
    (tmp_path / "predictions" / "b.npy").write_bytes(WHOLE)
    found, unreadable = store.read_predictions(tmp_path, ["a", "b"])
    assert list(found) == ["b"]
    (item,) = unreadable
    assert item.path == tmp_path / "predictions" / "a.npy"
    assert re.match(reason, item.reason)


def test_the_labels_come_back_as_they_were_kept(tmp_path):
    assert store.read_labels(tmp_path) is None
    labels = np.arange(10_000, dtype=np.uint8) % 10
    store.save_labels(tmp_path, labels)
    np.testing.assert_array_equal(store.read_labels(tmp_path), labels)
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["labels.npy"]
    (tmp_path / "predictions" / "labels.npy").write_bytes(WHOLE[:5_000])
    assert store.read_labels(tmp_path) is None


def test_a_folder_of_somebody_else_s_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "runs").mkdir()  # others have folders of such names too
    (tmp_path / "plots").mkdir()
    with pytest.raises(BadInput, match=r"holds plots and no results of this program; name an empty folder"):
        store.prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plots", "runs", "thesis.tex"]


@pytest.mark.parametrize(
    "ours",
    [
        *("study.json", "audit.json", ".lock", ".holder.json"),
        "runs/torch-matched-seed0.json",  # of scripts/train.py, copied without hidden files
        "tables/variance.csv",  # of scripts/seed_variance.py
        *(f"{vary}/study.json" for vary in ("all", "init", "order", "nothing")),  # of its --run
    ],
)
def test_a_folder_of_ours_is_taken_whatever_else_the_user_keeps_there(tmp_path, ours):
    (tmp_path / "thesis.tex").write_text("mine")
    path = tmp_path / ours
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    store.prepare(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


UNFINISHED = ".x.json.a1b2_c3d.level-field"


def test_what_killed_drivers_left_is_removed_by_the_next_that_takes_the_lock(tmp_path):
    folders = ("", "runs", "predictions", "checkpoints/torch-matched-seed0", "attempts", "tables", "plots")
    left = [tmp_path / folder / UNFINISHED for folder in folders]
    kept = [tmp_path / "mine" / UNFINISHED, tmp_path / "runs" / ".x.json.level-field", tmp_path / "runs" / "x.json"]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    with store.lock(tmp_path):
        assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in kept)


def test_nothing_is_removed_through_links(tmp_path):
    folder, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    for path in (folder / "runs", elsewhere):
        path.mkdir(parents=True)
    (elsewhere / UNFINISHED).write_text("theirs")
    (folder / "plots").symlink_to(elsewhere)
    (folder / "runs" / UNFINISHED).symlink_to(elsewhere / UNFINISHED)
    with store.lock(folder):
        pass
    assert (elsewhere / UNFINISHED).read_text() == "theirs"
    assert (folder / "runs" / UNFINISHED).is_symlink()


def test_a_written_file_takes_a_link_s_place_and_leaves_what_it_led_to(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "study.json").symlink_to(tmp_path / "theirs")
    store.write_study(tmp_path, STUDY)
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert store.read_study(tmp_path) == STUDY


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(BadInput, match=r"\.lock cannot be written"), store.lock(tmp_path):
        pytest.fail("held")
    assert (tmp_path / "theirs").read_text() == "theirs"
