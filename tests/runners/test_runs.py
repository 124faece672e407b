"""Whole runs, each framework in a fresh process as it is when a study places it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import isfinite
from pathlib import Path

import numpy as np
import pytest

from lenet.data import scale
from runners.core.draws import batch_orders, initial_weights, orders_sha256, weights_sha256
from runners.core.frameworks import FRAMEWORKS
from runners.core.record import RunRecord
from runners.core.run import failure
from runners.core.spec import VARIES, Adam, RunSpec
from runners.core.study import Plan, run_specs
from tests.helpers import HELPERS

SMALL = {"limit_train": 1_280, "epochs": 2}


@dataclass(frozen=True)
class Done:
    """What one run left behind."""

    record: RunRecord
    told: list[int]  # the epochs that were reported while it ran
    predictions: np.ndarray | None
    checkpoint: Path
    modules: set[str]  # all that its process had imported at the end


def do(folder, *specs, test_images=10_000):
    command = [sys.executable, str(HELPERS / "one_process.py"), str(folder), str(test_images)]
    subprocess.run([*command, *(spec.model_dump_json() for spec in specs)], check=True, timeout=900)
    modules = set(json.loads((folder / "modules.json").read_text()))
    return [left_behind(folder / str(number), spec, modules) for number, spec in enumerate(specs)]


def left_behind(place, spec, modules):
    predictions = place / "predictions.npy"
    return Done(
        record=RunRecord.model_validate_json((place / "record.json").read_text()),
        told=json.loads((place / "told.json").read_text()),
        predictions=np.load(predictions) if predictions.exists() else None,
        checkpoint=place / FRAMEWORKS[spec.contender.framework].checkpoint,
        modules=modules,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Does a small run once: `done("keras", "matched")`."""

    @cache
    def once(framework, track):
        settings = {"threads": 1} if track == "matched" else {"threads": 2, "deterministic": True}
        spec = RunSpec(contender=framework, track=track, **settings, **SMALL)
        (result,) = do(tmp_path_factory.mktemp(f"{framework}-{track}"), spec)
        return result

    return once


@pytest.fixture(params=["matched", "native"])
def track(request):
    return request.param


@pytest.fixture(params=["keras", "torch"])
def framework(request):
    return request.param


# `make test` has these runs of one framework.
EACH = pytest.mark.parametrize("framework", [pytest.param("keras", marks=pytest.mark.thorough), "torch"])


@pytest.fixture
def inspector(request, framework):
    return request.getfixturevalue(f"{framework}_inspector")


@pytest.fixture
def small_run(done, framework, track):
    return done(framework, track)


# What a run leaves behind


def test_a_run_completes(small_run, framework, track):
    record = small_run.record
    assert (record.status, record.error, record.attempts) == ("completed", None, 1)
    assert record.run_id == f"{framework}-{track}-seed0"
    assert timedelta() < datetime.now(UTC) - record.started_at < timedelta(hours=1)


@pytest.mark.parametrize(("framework", "of_their_own"), [("keras", 1), ("torch", 2)])
def test_native_keras_has_one_order_for_all_epochs_and_pytorch_a_new_one_for_each(done, framework, of_their_own):
    """Keras's documentation has `shuffle` shuffle "before each epoch". A release that does turns this red."""
    hashes = done(framework, "native").record.epoch_orders_sha256
    assert (len(hashes), len(set(hashes))) == (2, of_their_own)


def test_rows_count_from_one_and_each_is_reported(small_run):
    assert [row.epoch for row in small_run.record.epochs] == small_run.told == [1, 2]


def test_the_network_learns(small_run):
    first, last = small_run.record.epochs
    assert last.train_loss < first.train_loss < 2.4
    assert last.test_loss < first.test_loss
    assert 0.3 < last.test_accuracy < 0.8
    assert first.learning_rate == last.learning_rate == pytest.approx(1e-3)


def test_predictions_are_those_of_the_last_row(small_run, fashion_mnist):
    predictions = small_run.predictions
    assert (predictions.dtype, predictions.shape) == (np.uint8, (10_000,))
    accuracy = np.mean(predictions == fashion_mnist.test_labels)
    assert accuracy == pytest.approx(small_run.record.epochs[-1].test_accuracy, abs=1e-6)


def test_the_best_weights_load_back_as_probabilities(small_run, inspector, fashion_mnist):
    probabilities = inspector.predict(small_run.checkpoint, scale(fashion_mnist.test_images))
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (10_000, 10))
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    best = min(small_run.record.epochs, key=lambda row: row.test_loss)
    of_the_label = probabilities[np.arange(10_000), fashion_mnist.test_labels]
    assert -np.log(of_the_label).mean() == pytest.approx(best.test_loss, rel=1e-4)
    assert np.mean(probabilities.argmax(axis=1) == fashion_mnist.test_labels) == pytest.approx(
        best.test_accuracy, abs=2e-4
    )


def test_the_clock_s_stages_are_all_there_and_add_up(small_run):
    clock = small_run.record.clock
    stages = clock.model_dump(exclude={"total_seconds", "train_cpu_seconds"})
    assert min(stages.values()) > 0, stages
    assert sum(stages.values()) == pytest.approx(clock.total_seconds)
    rows = small_run.record.epochs
    assert clock.train_seconds == pytest.approx(sum(row.train_seconds for row in rows))
    assert clock.eval_seconds == pytest.approx(sum(row.eval_seconds for row in rows))
    assert clock.train_cpu_seconds > 0


def test_the_first_step_with_its_tracing_is_not_in_the_training_time(done, track):
    clock = done("keras", track).record.clock
    assert clock.compile_seconds > clock.train_seconds / 19  # what each of the other steps took


def test_the_threads_in_force_are_those_asked_for(small_run):
    flags, threads = small_run.record.environment.flags, small_run.record.spec.threads
    assert flags["intra_op_threads"] == flags["inter_op_threads"] == threads


def test_deterministic_kernels_are_in_force_where_asked_for_and_only_there(small_run):
    record = small_run.record
    assert record.environment.flags["deterministic"] is record.spec.deterministic
    assert record.spec.deterministic == (record.spec.track == "native")


def test_the_record_names_the_software_and_the_data(small_run, framework, fashion_mnist):
    environment = small_run.record.environment
    expected = {"keras": {"tensorflow", "keras"}, "torch": {"torch"}}[framework]
    assert {"python", "numpy"} | expected <= set(environment.versions)
    assert environment.data_sha256 == fashion_mnist.sha256
    assert environment.gpu_model is None


def test_a_run_loads_its_own_framework_only_and_never_ray(small_run, framework):
    other = {"keras": "torch", "torch": "tensorflow"}[framework]
    assert small_run.modules.isdisjoint({other, "ray"} | ({"keras"} if framework == "torch" else set()))


# Matched


def test_matched_runs_start_from_the_drawn_weights(done, framework):
    assert done(framework, "matched").record.init_sha256 == weights_sha256(initial_weights(0))


def test_matched_runs_are_fed_the_drawn_orders(done, framework):
    record, orders = done(framework, "matched").record, batch_orders(0, 2, 1_280)
    assert record.order_sha256 == orders_sha256(orders)
    assert record.epoch_orders_sha256 == tuple(map(orders_sha256, orders))


def test_native_runs_start_from_weights_and_orders_of_their_own(done, framework):
    record = done(framework, "native").record
    assert record.init_sha256 != weights_sha256(initial_weights(0))
    assert record.order_sha256 is None


def test_matched_runs_compute_alike(done):
    sides = [done(framework, "matched").record.environment.flags for framework in FRAMEWORKS]
    for flags in sides:
        seen = {name: flags[name] for name in ("tf32", "flushes_denormals", "onednn")}
        assert seen == {"tf32": False, "flushes_denormals": True, "onednn": True}


def test_matched_runs_end_alike(done):
    in_keras, in_torch = (done(framework, "matched") for framework in FRAMEWORKS)
    for one, other in zip(in_keras.record.epochs, in_torch.record.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-3)
        assert one.test_loss == pytest.approx(other.test_loss, abs=1e-3)
        assert one.train_accuracy == pytest.approx(other.train_accuracy, abs=1e-3)
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=1e-3)
        assert one.learning_rate == pytest.approx(other.learning_rate, rel=1e-6)
    assert np.mean(in_keras.predictions == in_torch.predictions) > 0.99


# What varies

TINY = {"limit_train": 256, "epochs": 1, "checkpoint": False}


def spec_of(vary, contender, seed):
    """A run of a study in which `vary` is what seeds 0 and 1 change."""
    names = ("keras", "keras#2", "torch", "torch#2")
    specs = run_specs(Plan(contenders=names, tracks=("matched",), seeds=(0, 1), vary=vary, **TINY))
    (found,) = (spec for spec in specs if (str(spec.contender), spec.seed) == (contender, seed))
    return found


# Too large a learning rate for this seed: the network soon says the same of every image.
WATCHED = {
    "limit_train": 256,
    "batch_size": 64,
    "epochs": 12,
    "optimizer": Adam(learning_rate=0.05),
    "early_stopping": 3,
    "reduce_lr": 2,
}


@pytest.fixture(scope="module")
def special(tmp_path_factory):
    """In one process a framework: seed 0, which draws the same whatever varies, its copy, and seed 1 of each part; a
    run that diverges, and one that its callbacks slow down and stop."""

    @cache
    def once(framework):
        specs = {"first": spec_of("all", framework, 0), "copy": spec_of("all", f"{framework}#2", 0)}
        specs |= {vary: spec_of(vary, framework, 1) for vary in VARIES[1:]}
        specs["diverging"] = RunSpec(contender=framework, optimizer=Adam(learning_rate=1e30), **SMALL)
        specs["watched"] = RunSpec(contender=framework, seed=1, checkpoint=False, **WATCHED)
        done = do(tmp_path_factory.mktemp(framework), *specs.values(), test_images=1_000)
        return dict(zip(specs, done, strict=True))

    return once


@EACH
@pytest.mark.parametrize(
    ("run", "weights", "order"), [("first", 0, 0), ("copy", 0, 0), ("init", 1, 0), ("order", 0, 1), ("nothing", 0, 0)]
)
def test_a_run_draws_only_what_varies_from_its_own_seed(special, framework, run, weights, order):
    record = special(framework)[run].record
    assert record.status == "completed"
    assert record.init_sha256 == weights_sha256(initial_weights(weights))
    assert record.order_sha256 == orders_sha256(batch_orders(order, 1, 256))


@EACH
@pytest.mark.parametrize(("run", "same"), [("copy", True), ("init", False), ("order", False), ("nothing", True)])
def test_what_varies_reaches_the_result_and_without_it_every_bit_is_the_same(special, framework, run, same):
    losses = [
        record.epochs[-1].test_loss for record in (special(framework)["first"].record, special(framework)[run].record)
    ]
    assert (losses[0] == losses[1]) == same


# Runs that end early


@EACH
def test_a_loss_that_is_not_finite_ends_the_run_as_diverged_and_its_rows_are_kept(special, framework):
    diverged = special(framework)["diverging"]
    record = diverged.record
    assert record.status == "diverged"
    assert record.error == "the loss is not finite after epoch 1"
    assert diverged.told == [row.epoch for row in record.epochs] == [1]
    assert not isfinite(record.epochs[0].test_loss)
    assert record.clock is not None
    assert record.init_sha256 == weights_sha256(initial_weights(0))


def replay(rows, reduce_lr, early_stopping):
    """By the book: the learning rate of each epoch, and after how many epochs to stop."""
    rate, rates, best, plateau_best, wait, plateau_wait = rows[0].learning_rate, [], np.inf, np.inf, 0, 0
    for row in rows:
        rates.append(rate)
        plateau_best, plateau_wait = (
            (row.test_loss, 0) if row.test_loss < plateau_best - 1e-4 else (plateau_best, plateau_wait + 1)
        )
        if plateau_wait == reduce_lr:
            rate, plateau_wait = rate / 10, 0
        best, wait = (row.test_loss, 0) if row.test_loss < best else (best, wait + 1)
        if wait == early_stopping:
            break
    return rates, len(rates)


@EACH
def test_callbacks_reduce_the_rate_and_stop_the_run_by_the_book(special, framework):
    watched = special(framework)["watched"]
    rows = watched.record.epochs
    rates, stopped_after = replay(rows, WATCHED["reduce_lr"], WATCHED["early_stopping"])
    assert watched.record.status == "completed"
    assert len(rows) == stopped_after < WATCHED["epochs"]
    assert [row.learning_rate for row in rows] == pytest.approx(rates, rel=1e-5)
    assert len(set(rates)) > 1


@pytest.mark.thorough
def test_matched_runs_stop_after_the_same_epoch(special):
    in_keras, in_torch = (special(framework)["watched"].record.epochs for framework in FRAMEWORKS)
    for one, other in zip(in_keras, in_torch, strict=True):
        assert one.learning_rate == pytest.approx(other.learning_rate, rel=1e-6)


@EACH
def test_without_a_checkpoint_asked_for_none_is_left(special, framework):
    watched = special(framework)["watched"]
    assert not watched.checkpoint.exists()
    assert watched.record.clock.checkpoint_seconds == 0


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_exception_leaves_a_failed_record_with_its_traceback():
    record = failure(RunSpec(contender="torch"), raised(RuntimeError("the reason")), attempts=2).record
    assert (record.status, record.attempts, record.run_id) == ("failed", 2, "torch-matched-seed0")
    assert record.error is not None
    assert record.error.startswith("Traceback")
    assert record.error.endswith("RuntimeError: the reason")
    assert "in raised" in record.error


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


class OutOfMemoryError(RuntimeError):
    """As PyTorch names it."""


@pytest.mark.parametrize("error", [MemoryError, ResourceExhaustedError, OutOfMemoryError])
def test_running_out_of_memory_is_told_from_other_failures(error):
    assert failure(RunSpec(contender="torch"), raised(error("too large"))).record.status == "oom"


@pytest.mark.parametrize("ask", ["torch.empty(2**46)", "raise torch.OutOfMemoryError('of a GPU')"])
def test_pytorch_s_own_running_out_of_memory_is_told(torch_runner, ask):
    import torch

    with pytest.raises(RuntimeError) as caught:
        exec(ask, {"torch": torch})
    assert failure(RunSpec(contender="torch"), caught.value).record.status == "oom"


@pytest.mark.thorough
def test_the_largest_seed_trains_in_both_tracks(framework, tmp_path):
    tiny = {"seed": 2**32 - 1, "limit_train": 256, "epochs": 1}
    specs = [RunSpec(contender=framework, track=track, **tiny) for track in ("matched", "native")]
    for done in do(tmp_path, *specs, test_images=64):
        assert (done.record.status, done.record.spec.seed) == ("completed", 2**32 - 1), done.record.error


def test_preparing_the_data_is_on_the_data_clock(torch_runner, fashion_mnist, monkeypatch):
    """Not on the first step's: what hands out batches must have its tensors before it is asked for the first."""
    made = []

    def making(what, result):
        return lambda *_: (made.append(what), result)[1]  # type: ignore[func-returns-value]

    monkeypatch.setattr(torch_runner, "tensors", making("tensors", (torch_zeros(), torch_zeros())))
    monkeypatch.setattr(torch_runner, "ImageDataset", making("dataset", [(0, 0)]))
    spec = RunSpec(contender="torch", epochs=1)
    torch_runner.matched_data(spec, fashion_mnist, np.zeros((1, 128), np.int64))
    torch_runner.native_data(spec, fashion_mnist)
    assert made == ["tensors", "dataset"]


def torch_zeros():
    import torch

    return torch.zeros(128)
