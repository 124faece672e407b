"""Two and three Keras replicas train as one does: the same weights, losses, evaluation and predictions, in float64.

They are logical devices of one process, or processes of this machine that TF_CONFIG brings together, and go through the
production runner. Batches of 25 images divide by neither number, and the last batch of each epoch is a single image, of
which the others have nothing.
"""

import json
import pickle
import socket
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest

from lenet.data import load
from runners.core.spec import Adam, Contender, RunSpec, Sgd
from tests.helpers import HELPERS
from tests.helpers.apart import apart, whatever_order
from tests.helpers.groups_of_keras_replicas import BREAKS, processes

ALLOWED = 1e-12
TESTS = 100
LONG = {"limit_train": 1251, "batch_size": 25, "epochs": 2, "dtype": "float64"}
SHORT = LONG | {"limit_train": 76, "epochs": 1}
SHORT_STEPS = 4  # an epoch
RUNS = {
    "Adam": LONG,
    "SGD": LONG | {"optimizer": Sgd(learning_rate=0.125)},
    # So fast that the test loss soon rises: every decision of the callbacks is taken.
    "callbacks": SHORT | {"epochs": 6, "optimizer": Adam(learning_rate=0.03), "reduce_lr": 1, "early_stopping": 2},
    "short": SHORT,
    "float32": SHORT | {"dtype": "float32"},  # whose kernels are others
    "native": SHORT | {"track": "native", "dtype": "float32", "epochs": 2},
}
PAIRS = ("keras:mirrored:2", "keras:multiworker:2")
TOGETHER = (*PAIRS, "keras:mirrored:3", "keras:multiworker:3")
RUNS_OF_THREE = ("Adam", "SGD")  # the rest is told by two, and takes time
SHOWS_IN = {
    "shares weigh the same": "weights",
    "sums stay apart": "test_loss",
    "shares overlap": "weights",
    "shares leave images out": "weights",
    "shares are strided": "predictions",
}
BROKEN = [("keras:mirrored:2", name) for name in BREAKS]


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """By contender, by run or break of a short run: what each process left."""
    folder = tmp_path_factory.mktemp("keras")
    runs = {name: pairs(name) for name in ("keras", *TOGETHER)}
    script = HELPERS / "groups_of_keras_replicas.py"
    subprocess.run([sys.executable, str(script), str(folder), str(TESTS), json.dumps(runs)], check=True, timeout=1500)
    return {
        name: {
            run: [
                pickle.loads((folder / f"{name}.{number}.{rank}.pickle").read_bytes())
                for rank in range(processes(Contender.model_validate(name)))
            ]
            for number, run in enumerate([*runs_of(name), *BREAKS][: len(runs[name])])
        }
        for name in runs
    }


def runs_of(name):
    return RUNS_OF_THREE if name.endswith("3") else RUNS


def pairs(name):
    specs = {run: RunSpec(contender=name, **RUNS[run]).model_dump_json() for run in runs_of(name)}
    breaks = [wrong for broken, wrong in BROKEN if broken == name]
    return [*(("none", spec) for spec in specs.values()), *((wrong, specs["short"]) for wrong in breaks)]


@pytest.mark.parametrize(
    ("name", "run"), [(name, run) for name in TOGETHER for run in runs_of(name) if run not in ("float32", "native")]
)
def test_replicas_arrive_where_a_single_one_does(left, run, name):
    alone, together = left["keras"][run][0], left[name][run]
    assert together[0]["steps"] == alone["steps"] >= (100 if run in ("Adam", "SGD") else 1)
    distances = apart(alone, together[0])
    assert max(distances.values()) <= ALLOWED, distances
    assert together[0]["outcome"].init_sha256 == alone["outcome"].init_sha256
    assert together[0]["outcome"].order_sha256 == alone["outcome"].order_sha256


@pytest.mark.parametrize(
    ("name", "run"), [(name, run) for name in TOGETHER if "multiworker" in name for run in runs_of(name)]
)
def test_all_processes_have_the_same_weights_and_figures_to_the_bit(left, run, name):
    first, *others = left[name][run]
    assert len(others) == int(name[-1]) - 1
    for other in others:
        assert max(apart(first, other).values()) == 0
        assert first["outcome"].epochs[-1].test_loss == other["outcome"].epochs[-1].test_loss


@pytest.mark.parametrize("name", PAIRS)
def test_callbacks_decide_for_all_replicas_as_for_one(left, name):
    epochs = [len(side["outcome"].epochs) for side in (*left["keras"]["callbacks"], *left[name]["callbacks"])]
    assert len(set(epochs)) == 1
    rates = {row.learning_rate for row in left[name]["callbacks"][-1]["outcome"].epochs}
    assert len(rates) > 1, "the learning rate was never reduced: nothing was tested"


@pytest.mark.parametrize("name", PAIRS)
def test_the_audit_sees_the_whole_batches_in_order(left, name):
    alone = left["keras"]["short"][0]["fed"]
    for process in left[name]["short"]:
        for (images, labels), (other_images, other_labels) in zip(alone, process["fed"], strict=True):
            assert np.array_equal(images, other_images)
            assert np.array_equal(labels, other_labels)


@pytest.mark.parametrize("name", TOGETHER)
def test_only_the_first_process_writes_and_the_record_knows_the_strategy(left, name):
    together = left[name]["Adam"]
    assert [side["written"] for side in together] == [["best_model.weights.h5"], *[[]] * (len(together) - 1)]
    flags, replicas = together[0]["outcome"].flags, int(name[-1])
    seen = (flags["strategy"], flags["replicas"], flags["communication"], flags["intra_op_threads"])
    if "mirrored" in name:
        assert seen == ("MirroredStrategy", replicas, "ReductionToOneDevice", replicas)
        assert together[0]["outcome"].nodes == ()
    else:
        assert seen == ("CollectiveAllReduceStrategy", replicas, "RING", 1)
        assert together[0]["outcome"].nodes == (socket.gethostname(),) * replicas


@pytest.mark.parametrize("name", PAIRS)
def test_in_the_native_track_each_image_is_trained_on_and_tested_once(left, name):
    ours, images = left[name]["native"], load().first(SHORT["limit_train"]).train_images
    assert [side["steps"] for side in ours] == [2 * SHORT_STEPS] * len(ours)
    halves = [(side["seen"][: len(side["seen"]) // 2], side["seen"][len(side["seen"]) // 2 :]) for side in ours]
    first, second = (np.concatenate(list(chain(*parts))) for parts in zip(*halves, strict=True))
    assert whatever_order(first) == whatever_order(second) == whatever_order(images)
    assert not np.array_equal(first, second)
    row = ours[0]["outcome"].epochs[0]
    counted = (row.train_accuracy * SHORT["limit_train"], row.test_accuracy * TESTS)
    assert counted == pytest.approx([round(right) for right in counted], abs=1e-9)
    assert len(ours[0]["outcome"].predictions) == TESTS


@pytest.mark.parametrize(("name", "broken"), BROKEN)
def test_a_break_of_weighting_splitting_or_evaluation_is_seen(left, name, broken):
    alone, wrong = left["keras"]["short"][0], left[name][broken][0]
    assert apart(alone, wrong)[SHOWS_IN[broken]] > 1000 * ALLOWED


def test_a_contender_of_two_processes_does_not_train_alone(keras_runner):
    with pytest.raises(RuntimeError, match="keras:mirrored:2 trains on 2 replicas together, and here are 1"):
        keras_runner.distribute.strategy(RunSpec(contender="keras:mirrored:2"))


@pytest.mark.parametrize("name", PAIRS)
def test_a_replica_may_have_no_image_in_single_precision_either(left, name):
    distances = apart(left["keras"]["float32"][0], left[name]["float32"][0])
    assert max(distances.values()) <= 1e-4, distances
