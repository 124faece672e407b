"""Two and three replicas train as one does: the same weights, losses, evaluation and predictions, in float64.

The replicas are processes of this machine in a gloo group, and go through the production runner. Batches of 25 images
divide by neither number, and the last batch of each epoch is a single image, of which the others have nothing.
"""

import json
import pickle
import socket
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from lenet.data import load
from runners.core.spec import Adam, RunSpec, Sgd
from runners.torch import replicas as torch_ddp
from tests.helpers import HELPERS
from tests.helpers.apart import apart, whatever_order
from tests.helpers.groups_of_replicas import BREAKS, SECONDS
from tests.helpers.stubs import row

ALLOWED = 1e-12
TESTS = 100
LONG = {"limit_train": 1251, "batch_size": 25, "epochs": 2, "dtype": "float64"}
SHORT = LONG | {"limit_train": 76, "epochs": 2}
SHORT_STEPS = 4  # an epoch
RUNS = {
    "Adam": LONG,
    "SGD": LONG | {"optimizer": Sgd(learning_rate=0.125)},
    # So fast that the test loss soon rises: every decision of the callbacks is taken.
    "callbacks": SHORT | {"epochs": 6, "optimizer": Adam(learning_rate=0.03), "reduce_lr": 1, "early_stopping": 2},
    "short": SHORT,
    "one epoch": SHORT | {"epochs": 1},
    "one step": SHORT | {"epochs": 1, "limit_train": 25},
}
# Images and batches that two and three replicas divide: else the sampler would repeat some.
EPOCHS = (slice(0, 3), slice(3, 6))  # the steps of each
NATIVE = {"native": {"track": "native", "limit_train": 72, "batch_size": 24, "epochs": 2}}


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """By replicas, by run or break of a short run: what each replica left."""
    folder = tmp_path_factory.mktemp("ddp")
    names = {1: [*RUNS], 2: [*RUNS, *NATIVE, *BREAKS], 3: [*RUNS, *NATIVE, *BREAKS]}
    runs = {replicas: pairs(replicas, names[replicas]) for replicas in names}
    script = HELPERS / "groups_of_replicas.py"
    subprocess.run([sys.executable, str(script), str(folder), str(TESTS), json.dumps(runs)], check=True, timeout=900)
    return {
        replicas: {
            name: [
                pickle.loads((folder / f"{replicas}.{number}.{rank}.pickle").read_bytes()) for rank in range(replicas)
            ]
            for number, name in enumerate(names[replicas])
        }
        for replicas in runs
    }


def pairs(replicas, names):
    contender = f"torch:ddp:{replicas}" if replicas > 1 else "torch"
    settings = RUNS | NATIVE | dict.fromkeys(BREAKS, SHORT)
    specs = [RunSpec(contender=contender, **settings[name]).model_dump_json() for name in names]
    return [(name if name in BREAKS else "none", spec) for name, spec in zip(names, specs, strict=True)]


@pytest.mark.parametrize("replicas", [2, 3])
@pytest.mark.parametrize("run", RUNS)
def test_replicas_arrive_where_a_single_one_does(left, run, replicas):
    alone, together = left[1][run][0], left[replicas][run]
    assert together[0]["steps"] == alone["steps"] >= (100 if run in ("Adam", "SGD") else 1)
    distances = apart(alone, together[0])
    assert max(distances.values()) <= ALLOWED, distances
    assert together[0]["outcome"].init_sha256 == alone["outcome"].init_sha256
    assert together[0]["outcome"].order_sha256 == alone["outcome"].order_sha256


@pytest.mark.parametrize("replicas", [2, 3])
@pytest.mark.parametrize("run", RUNS)
def test_all_replicas_have_the_same_weights_and_figures_to_the_bit(left, run, replicas):
    first, *others = left[replicas][run]
    for other in others:
        assert max(apart(first, other).values()) == 0
        assert first["outcome"].epochs[-1].test_loss == other["outcome"].epochs[-1].test_loss


@pytest.mark.parametrize("replicas", [2, 3])
def test_callbacks_decide_for_all_replicas_as_for_one(left, replicas):
    epochs = [len(side["outcome"].epochs) for side in (*left[1]["callbacks"], *left[replicas]["callbacks"])]
    assert len(set(epochs)) == 1
    rates = {row.learning_rate for row in left[replicas]["callbacks"][-1]["outcome"].epochs}
    assert len(rates) > 1, "the learning rate was never reduced: nothing was tested"


@pytest.mark.parametrize("replicas", [2, 3])
def test_only_the_first_replica_writes_and_the_record_knows_the_group(left, replicas):
    together = left[replicas]["Adam"]
    assert [side["written"] for side in together] == [["best_model.pt"], *[[]] * (replicas - 1)]
    outcome = together[0]["outcome"]
    assert outcome.nodes == (socket.gethostname(),) * replicas
    assert (outcome.flags["process_group"], outcome.flags["replicas"]) == ("gloo", replicas)


@pytest.mark.parametrize("replicas", [2, 3])
@pytest.mark.parametrize(
    ("broken", "shows_in"),
    [
        ("shares weigh the same", "weights"),
        ("gradients stay apart", "weights"),
        ("sums stay apart", "test_loss"),
        ("shares overlap", "weights"),
        ("shares leave images out", "weights"),
        ("shares are strided", "predictions"),
    ],
)
def test_a_break_of_weighting_splitting_or_evaluation_is_seen(left, broken, shows_in, replicas):
    alone, wrong = left[1]["short"][0], left[replicas][broken][0]
    assert apart(alone, wrong)[shows_in] > 1000 * ALLOWED


def test_only_several_replicas_wait_and_only_after_the_first_epoch_is_it_told(left):
    assert [left[1][run][0]["outcome"].communication_share for run in RUNS] == [None] * len(RUNS)
    for replicas in (2, 3):
        for run in RUNS:
            shares = {side["outcome"].communication_share for side in left[replicas][run]}
            assert len(shares) == 1, "all replicas report what all of them waited"
            assert shares == {None} if run in ("one epoch", "one step") else 0 < shares.pop() < 1


@pytest.mark.parametrize("replicas", [2, 3])
def test_waiting_for_a_slow_replica_is_communication(left, replicas):
    """All but the first wait as long as it sleeps; some allowance for how unevenly a busy machine computes."""
    sides = [side["outcome"] for side in left[replicas]["the first is slow"]]
    trained = sum(side.epochs[-1].train_seconds for side in sides)
    waited = (replicas - 1) * SHORT_STEPS * SECONDS
    assert 0.7 * waited < sides[0].communication_share * trained < trained


@pytest.mark.parametrize("replicas", [2, 3])
def test_native_replicas_share_out_each_epoch_s_images_in_an_order_of_its_own(left, replicas):
    images = load().first(NATIVE["native"]["limit_train"]).train_images
    seen = [side["seen"] for side in left[replicas]["native"]]
    assert [[len(batch) for batch in side] for side in seen] == [[24 // replicas] * 6] * replicas
    first, second = (np.concatenate([batch for side in seen for batch in side[epoch]]) for epoch in EPOCHS)
    assert whatever_order(first) == whatever_order(second) == whatever_order(images)
    assert not np.array_equal(first, second)


class Handed(Exception):
    """A tensor was given away, on this device."""


@pytest.mark.parametrize("what", ["losses and right answers", "waiting"])
def test_what_replicas_add_up_is_on_their_device(torch_runner, monkeypatch, what):
    """NCCL would refuse a tensor of the host. The device here is one that this machine has, and is not its own."""

    def all_reduce(tensor):
        raise Handed(tensor.device.type)

    monkeypatch.setattr(torch_ddp, "replicas", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    device, waits = torch.device("meta"), [torch_ddp.Waited(4, 1.0), torch_ddp.Waited(8, 2.0)]
    add_up = {
        "losses and right answers": torch_runner.Means(device).result,
        "waiting": partial(torch_ddp.communication_share, waits, [row(1), row(2)], 4, device),
    }
    with pytest.raises(Handed, match="meta"):
        add_up[what]()


@pytest.mark.parametrize("every", [1, 7, 10, 100])
def test_the_steps_that_were_timed_are_the_first_ten_and_then_every_so_many(every):
    timed = [step for step in range(1, 350) if step <= 10 or step % every == 0]
    assert [torch_ddp.steps_timed(step, every) for step in timed] == list(range(1, len(timed) + 1))


def test_a_contender_of_two_replicas_does_not_train_alone(torch_runner):
    with pytest.raises(RuntimeError, match="torch:ddp:2 trains in 2 processes together, and here are 1"):
        torch_runner.configure(RunSpec(contender="torch:ddp:2"))
