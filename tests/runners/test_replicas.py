"""Two and three replicas train as one does: the same weights, losses, evaluation and predictions, in float64.

Replicas are logical devices of one process, or processes of this machine that form a group, and go through the
production runners. Batches of 25 images divide by neither number, and the last batch of each epoch is a single image,
of which the others have nothing.
"""

import json
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lenet.data import load
from runners.core.environment import PROJECT
from runners.core.frameworks import FRAMEWORKS
from runners.core.spec import Adam, Contender, RunSpec, Sgd
from tests.helpers import SLEEP_SECONDS
from tests.helpers.replicas import Left, apart, processes
from tests.helpers.stubs import row

Launch = Callable[[str, str], dict[str, dict[str, list[Left]]]]

ALLOWED = 1e-12
TESTS = 100
LONG: dict[str, Any] = {"limit_train": 1251, "batch_size": 25, "epochs": 2, "dtype": "float64"}
SHORT = LONG | {"limit_train": 76, "epochs": 1}
RUNS = {
    "Adam": LONG,
    "SGD": LONG | {"optimizer": Sgd(learning_rate=0.125)},
    # So fast that the test loss soon rises: every decision of the callbacks is taken.
    "callbacks": SHORT | {"epochs": 6, "optimizer": Adam(learning_rate=0.03), "reduce_lr": 1, "early_stopping": 2},
    "short": SHORT,
    "one step": SHORT | {"limit_train": 25},
    "float32": SHORT | {"dtype": "float32"},  # whose kernels are others
}
# Images and batches that replicas which feed themselves divide: else their sampler would repeat some.
NATIVE = {
    "keras": SHORT | {"track": "native", "dtype": "float32", "epochs": 2},
    "torch": {"track": "native", "limit_train": 72, "batch_size": 24, "epochs": 2},
}
SLOW = SHORT | {"epochs": 2}
SLOW_STEPS = 4  # of its second epoch
SHOWS_IN = {
    "shares weigh the same": "weights",
    "gradients stay apart": "weights",
    "sums stay apart": "test_loss",
    "shares overlap": "weights",
    "shares leave images out": "weights",
    "shares are strided": "predictions",
}
BREAKS = {"torch:ddp:2": [*SHOWS_IN], "keras:mirrored:2": [name for name in SHOWS_IN if "gradients" not in name]}
THREES = ("torch:ddp:3", "keras:mirrored:3", "keras:multiworker:3")  # need only long runs, and take time
TOGETHER = ("torch:ddp:2", "keras:mirrored:2", "keras:multiworker:2", *THREES)
IN_FAST = {"torch:ddp:2": (*RUNS, "native", *SHOWS_IN, "the first is slow"), "keras:mirrored:2": ("short", "native")}


def runs_of(contender: str) -> list[str]:
    """The names of a contender's runs that are done rightly."""
    if contender in THREES:
        return ["Adam", "SGD"]
    left_to_three = ("SGD", "one step") if framework_of(contender) == "keras" else ()  # each run is traced anew there
    return [run for run in (*RUNS, "native") if run not in left_to_three]


def cases(runs: Callable[[str], Iterable[str]], contenders: Iterable[str] = TOGETHER) -> list[Any]:
    """Contenders with their runs, as test cases; `make test` leaves out those that are not IN_FAST."""
    pairs = [(name, run) for name in contenders for run in runs(name)]
    return [pytest.param(*pair, marks=[pytest.mark.thorough] * in_thorough(*pair)) for pair in pairs]


def only(run: str) -> list[Any]:
    """The contenders that have this run, with it."""
    return cases(lambda name: [run] if run in runs_of(name) else [])


def in_thorough(contender: str, run: str) -> bool:
    return run not in IN_FAST.get(contender, ())


def framework_of(contender: str) -> str:
    return contender.partition(":")[0]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """Of a framework and tier, by contender and by run or break, what each process left."""

    @cache
    def launch(framework: str, thorough: bool) -> dict[str, dict[str, list[Left]]]:
        folder = tmp_path_factory.mktemp("groups")
        slow = {"torch:ddp:2": ["the first is slow"]}
        runs = {
            name: [
                run
                for run in [*runs_of(name), *BREAKS.get(name, []), *slow.get(name, [])]
                if in_thorough(name, run) is thorough
            ]
            for name in TOGETHER
            if framework_of(name) == framework
        }
        alone = {run for names in runs.values() for run in names} & set(RUNS)
        runs = {framework: [*(alone | {"short"})]} | {name: names for name, names in runs.items() if names}
        specs = json.dumps({name: [spec_of(name, run) for run in names] for name, names in runs.items()})
        command = [sys.executable, "-m", "tests.helpers.replicas", framework, str(folder), str(TESTS), specs]
        subprocess.run(command, cwd=PROJECT, check=True, timeout=1500)
        return {name: left_in(folder, name, names) for name, names in runs.items()}

    return lambda name, run: launch(framework_of(name), in_thorough(name, run))


def spec_of(name: str, run: str) -> tuple[str, str]:
    """What is done wrongly, and the spec as JSON."""
    settings = RUNS | {"native": NATIVE[framework_of(name)], "the first is slow": SLOW}
    wrong = run if run in SHOWS_IN or run == "the first is slow" else "none"
    return wrong, RunSpec(contender=name, **settings.get(run, SHORT)).model_dump_json()


def left_in(folder: Path, name: str, runs: list[str]) -> dict[str, list[Left]]:
    def of(number: int) -> list[Left]:
        files = [folder / f"{name}.{number}.{rank}.pickle" for rank in range(processes(name))]
        return [pickle.loads(file.read_bytes()) for file in files]

    return {run: of(number) for number, run in enumerate(runs)}


@pytest.mark.parametrize(("name", "run"), cases(lambda name: [run for run in runs_of(name) if run in RUNS]))
def test_replicas_arrive_where_a_single_one_does(launched: Launch, name: str, run: str) -> None:
    groups = launched(name, run)
    alone, together = groups[framework_of(name)][run][0], groups[name][run][0]
    assert together.steps == alone.steps >= (100 if run in ("Adam", "SGD") else 1)
    distances = apart(alone, together)
    assert max(distances.values()) <= (1e-4 if run == "float32" else ALLOWED), distances
    assert together.outcome.init_sha256 == alone.outcome.init_sha256
    assert together.outcome.order_sha256 == alone.outcome.order_sha256


@pytest.mark.parametrize(("name", "run"), cases(runs_of, [name for name in TOGETHER if processes(name) > 1]))
def test_all_processes_have_the_same_weights_and_figures_to_the_bit(launched: Launch, name: str, run: str) -> None:
    first, *others = launched(name, run)[name][run]
    assert len(others) == int(name[-1]) - 1
    for other in others:
        assert max(apart(first, other).values()) == 0
        assert first.outcome.epochs[-1].test_loss == other.outcome.epochs[-1].test_loss


@pytest.mark.parametrize(("name", "run"), only("callbacks"))
def test_callbacks_decide_for_all_replicas_as_for_one(launched: Launch, name: str, run: str) -> None:
    groups = launched(name, run)
    sides = [*groups[framework_of(name)][run], *groups[name][run]]
    assert len({len(side.outcome.epochs) for side in sides}) == 1
    rates = {row.learning_rate for row in sides[-1].outcome.epochs}
    assert len(rates) > 1, "the learning rate was never reduced: nothing was tested"


@pytest.mark.parametrize(("name", "run"), only("short"))
def test_the_audit_is_shown_the_whole_batches_in_order(launched: Launch, name: str, run: str) -> None:
    groups = launched(name, run)
    alone = groups[framework_of(name)][run][0].fed
    assert [len(labels) for _, labels in alone] == [25, 25, 25, 1]
    for process in groups[name][run]:
        for batch, other in zip(alone, process.fed, strict=True):
            assert all(np.array_equal(*parts) for parts in zip(batch, other, strict=True))


@pytest.mark.parametrize(("name", "run"), cases(lambda name: ["Adam"] if name in THREES else ["short"]))
def test_only_the_first_process_writes_and_the_record_knows_the_group(launched: Launch, name: str, run: str) -> None:
    together, contender = launched(name, run)[name][run], Contender.model_validate(name)
    checkpoint = FRAMEWORKS[contender.framework].checkpoint
    assert [side.written for side in together] == [[checkpoint], *[[]] * (len(together) - 1)]
    outcome, several = together[0].outcome, len(together) > 1
    assert outcome.nodes == ((socket.gethostname(),) * contender.replicas if several else ())
    assert outcome.flags["replicas"] == contender.replicas
    expected: dict[str, dict[str, object]] = {
        "ddp": {"process_group": "gloo"},
        "mirrored": {"strategy": "MirroredStrategy", "communication": "ReductionToOneDevice"},
        "multiworker": {"strategy": "CollectiveAllReduceStrategy", "communication": "RING"},
    }
    threads = {"intra_op_threads": 1 if several else contender.replicas}
    assert outcome.flags.items() >= (expected[contender.strategy] | threads).items()


@pytest.mark.parametrize(("name", "wrong"), cases(lambda name: BREAKS.get(name, [])))
def test_a_break_of_weighting_splitting_or_evaluation_is_seen(launched: Launch, name: str, wrong: str) -> None:
    groups = launched(name, wrong)
    alone, broken = groups[framework_of(name)]["short"][0], groups[name][wrong][0]
    assert apart(alone, broken)[SHOWS_IN[wrong]] > 1000 * ALLOWED


@pytest.mark.parametrize(("name", "run"), only("native"))
def test_in_the_native_track_each_image_is_trained_on_and_tested_once(launched: Launch, name: str, run: str) -> None:
    ours, spec = launched(name, run)[name][run], RunSpec(contender=name, **NATIVE[framework_of(name)])
    images = load().first(spec.limit_train).train_images
    assert [side.steps for side in ours] == [spec.epochs * -(-spec.limit_train // spec.batch_size)] * len(ours)
    halves = [(side.seen[: len(side.seen) // 2], side.seen[len(side.seen) // 2 :]) for side in ours]
    first, second = (np.concatenate(list(chain(*parts))) for parts in zip(*halves, strict=True))
    assert in_any_order(first) == in_any_order(second) == in_any_order(images)
    assert not np.array_equal(first, second)
    row = ours[0].outcome.epochs[0]
    counted = (row.train_accuracy * spec.limit_train, row.test_accuracy * TESTS)
    assert counted == pytest.approx([round(right) for right in counted], abs=1e-6)
    assert len(ours[0].outcome.predictions) == TESTS


def in_any_order(images: np.ndarray) -> list[bytes]:
    """Images (n, 28, 28) as a list that is equal to that of the same images in another order."""
    return sorted(map(np.ndarray.tobytes, images))


@pytest.mark.parametrize(("name", "run"), cases(runs_of, ["torch:ddp:2", "torch:ddp:3"]))
def test_only_several_replicas_wait_and_only_after_the_first_epoch_is_it_told(
    launched: Launch, name: str, run: str
) -> None:
    groups = launched(name, run)
    assert all(sides[0].outcome.communication_share is None for sides in groups["torch"].values())
    shares = {side.outcome.communication_share for side in groups[name][run]}
    assert len(shares) == 1, "all replicas report what all of them waited"
    one_epoch = len(groups[name][run][0].outcome.epochs) == 1
    assert shares == {None} if one_epoch else 0 < (shares.pop() or 0) < 1


def test_waiting_for_a_slow_replica_is_communication(launched: Launch) -> None:
    """The other waits as long as it sleeps; some allowance for how unevenly a busy machine computes."""
    run = "the first is slow"
    sides = [side.outcome for side in launched("torch:ddp:2", run)["torch:ddp:2"][run]]
    trained = sum(side.epochs[-1].train_seconds for side in sides)
    assert sides[0].communication_share is not None
    assert 0.7 * SLOW_STEPS * SLEEP_SECONDS < sides[0].communication_share * trained < trained


class Handed(Exception):
    """A tensor was given away, on this device."""


@pytest.mark.parametrize("what", ["losses and right answers", "waiting"])
def test_what_replicas_add_up_is_on_their_device(
    torch_runner: ModuleType, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """NCCL would refuse a tensor of the host. The device here is one that this machine has, and is not its own."""
    import torch

    from runners.torch import replicas as torch_ddp

    def all_reduce(tensor: torch.Tensor) -> None:
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
def test_the_steps_that_were_timed_are_the_first_ten_and_then_every_so_many(every: int) -> None:
    from runners.torch.replicas import steps_timed

    timed = [step for step in range(1, 350) if step <= 10 or step % every == 0]
    assert [steps_timed(step, every) for step in timed] == list(range(1, len(timed) + 1))


def test_a_contender_of_two_replicas_does_not_train_alone(torch_runner: ModuleType, keras_runner: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="torch:ddp:2 trains in 2 processes together, and here are 1"):
        torch_runner.configure(RunSpec(contender="torch:ddp:2"))
    with pytest.raises(RuntimeError, match="keras:mirrored:2 trains on 2 replicas together, and here are 1"):
        keras_runner.distribute.strategy(RunSpec(contender="keras:mirrored:2"))
