"""Hundreds of runs of 1, 2 and 8 GPUs on 8 nodes of 8 logical GPUs each, judged by when and where each was."""

import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster import executor
from lenet.data import FashionMnist
from runners.core.events import Report, Work
from runners.core.record import Clock, RunRecord, RunResult
from runners.core.spec import Job, RunSpec
from tests.helpers.stubs import NO_DATA, row

pytestmark = pytest.mark.thorough

NODES, GPUS = 8, 8
NARROW, PAIRS, WIDE = 140, 60, 24
SECONDS = 0.3  # that a run lasts
CONTENDERS = {1: "torch", 2: "keras:mirrored:2", 8: "keras:mirrored:8"}


@dataclass(frozen=True)
class Interval:
    """One run: its place in the study, how many GPUs it needs, which it had, when it was reserved, began and ended."""

    place: int
    width: int
    node: str
    gpus: tuple[str, ...]
    placed: float
    start: float
    end: float


@pytest.fixture(scope="module")
def nodes() -> Iterator[None]:
    """8 nodes, all of them on this machine."""
    node = {"num_cpus": GPUS, "num_gpus": GPUS, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    for _ in range(NODES - 1):
        cluster.add_node(wait=False, num_cpus=GPUS, num_gpus=GPUS, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level=40)
    yield
    ray.shutdown()
    cluster.shutdown()


def noted(notes: Path) -> Work:
    def work(job: Job, data: FashionMnist, report: Report, began_at: float | None) -> tuple[RunResult, ...]:
        (spec,) = job
        start = time.time()
        time.sleep(SECONDS)
        node = ray.get_runtime_context().get_node_id()
        words = (node, os.environ["CUDA_VISIBLE_DEVICES"], began_at, start, time.time())
        (notes / spec.run_id).write_text(" ".join(map(str, words)))
        clock = Clock(other_seconds=SECONDS, total_seconds=SECONDS)
        rows = tuple(row(epoch) for epoch in range(1, spec.epochs + 1))
        return (RunResult(RunRecord(run_id=spec.run_id, spec=spec, status="completed", epochs=rows, clock=clock)),)

    return work


def interval(path: Path, place: int, width: int) -> Interval:
    node, visible, placed, start, end = path.read_text().split()
    return Interval(place, width, node, tuple(visible.split(",")), float(placed), float(start), float(end))


def in_used_processes() -> Any:
    """A run that leaves its process to the next: a fresh one takes a second of a core, and changes nothing of where."""
    perform: Any = executor._perform
    return ray.remote(max_calls=NARROW, max_retries=0)(perform._function)


@pytest.fixture(scope="module")
def runs(nodes: None, tmp_path_factory: pytest.TempPathFactory) -> list[Interval]:
    """Every run of a study whose order is random, as it says it went."""
    notes = tmp_path_factory.mktemp("notes")
    widths = [1] * NARROW + [2] * PAIRS + [8] * WIDE
    random.Random(0).shuffle(widths)
    specs = [RunSpec(contender=CONTENDERS[width], seed=seed, device="gpu") for seed, width in enumerate(widths)]
    with mock.patch.object(executor, "_perform", in_used_processes()):
        results = list(executor.execute(specs, NO_DATA, noted(notes), lambda event: None))
    assert {(result.record.status, result.record.attempts) for result in results} == {("completed", 1)}
    assert sorted(result.record.run_id for result in results) == sorted(spec.run_id for spec in specs)
    return [interval(notes / spec.run_id, place, widths[place]) for place, spec in enumerate(specs)]


def test_no_two_runs_are_on_one_gpu_at_once_and_each_has_as_many_as_it_needs(runs: list[Interval]) -> None:
    assert len({run.node for run in runs}) == NODES
    on_gpu = defaultdict(list)
    for run in runs:
        assert len(set(run.gpus)) == run.width
        for gpu in run.gpus:
            on_gpu[run.node, gpu].append((run.start, run.end))
    assert len(on_gpu) == NODES * GPUS
    for spans in on_gpu.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(spans)))


def test_no_wide_run_is_overtaken_by_one_behind_it_in_the_study(runs: list[Interval]) -> None:
    for wide in (run for run in runs if run.width == GPUS):
        assert not [run for run in runs if run.place > wide.place and run.placed < wide.placed]
    waited = [wide.placed - max(run.placed for run in runs[: wide.place]) for wide in runs if wide.width == GPUS]
    print(f"seconds that wide runs were first in line: {sorted(round(seconds, 1) for seconds in waited)}")
