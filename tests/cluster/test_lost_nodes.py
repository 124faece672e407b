"""Nodes that go, and with them the last that could hold what waits, on real clusters of this machine."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from cluster.executor import call_each, execute
from cluster.session import session
from lenet.data import FashionMnist
from runners.core.errors import ClusterLost
from runners.core.events import Event
from runners.core.spec import RunSpec
from tests.helpers.stubs import NO_DATA, stub

pytestmark = pytest.mark.thorough

LOST = r"no node has had room for 1 CPU\(s\) for 2 seconds: the cluster's 1 node\(s\) have: 0 CPU\(s\), 0 GPU\(s\); rec"


@pytest.fixture(scope="module")
def without_cores() -> Iterator[Cluster]:
    """A cluster whose head has no cores, to which nodes are added."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def test_a_study_whose_last_node_is_lost_ends_with_need_and_inventory(without_cores: Cluster, tmp_path: Path) -> None:
    node = without_cores.add_node(num_cpus=1)
    specs = [RunSpec(contender="torch", seed=seed, epochs=epochs) for seed, epochs in ((0, 1), (1, 1000), (2, 1))]
    told: list[Event] = []
    with session(without_cores.address):
        runs = execute(specs, NO_DATA, stub(tmp_path), told.append, patience_seconds=2)
        assert next(runs).record.status == "completed"
        without_cores.remove_node(node)
        with pytest.raises(ClusterLost, match=LOST):
            next(runs)


def sleep(item: float, _data: FashionMnist) -> None:
    time.sleep(item)


def test_calls_whose_last_node_is_lost_end_so_too(without_cores: Cluster) -> None:
    with session(without_cores.address), pytest.raises(ClusterLost, match=LOST):
        call_each(sleep, [RunSpec(contender="torch")], [600], NO_DATA, patience_seconds=2)
