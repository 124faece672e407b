"""Ray's own memory monitor, on a run that takes more than its node has."""

import socket
import time
from typing import Any

import psutil
import pytest
import ray

from cluster.executor import execute
from cluster.inline import MAX_ATTEMPTS
from runners.core.events import Event, Retried
from runners.core.record import RunResult
from runners.core.spec import RunSpec
from tests.helpers.stubs import NO_DATA

pytestmark = pytest.mark.thorough

# Below what the run takes; above what Ray itself and tests beside this one come to take meanwhile.
ROOM_BYTES = 3 * 2**30
TAKEN_BYTES = 5 * 2**30


def hungry(*_: object) -> tuple[RunResult, ...]:
    kept = [b"x" * 2**26 for _ in range(TAKEN_BYTES // 2**26)]
    time.sleep(60)
    raise AssertionError(f"nobody minds {len(kept)} pieces of 64 MiB")


def test_a_run_that_outgrows_its_node_is_killed_by_ray_retried_twice_and_ends_so() -> None:
    memory = psutil.virtual_memory()
    limits = {
        "memory_usage_threshold": (memory.total - memory.available + ROOM_BYTES) / memory.total,
        "memory_monitor_refresh_ms": 50,
        "min_memory_free_bytes": -1,
    }
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": 40}
    ray.init(address="local", num_cpus=1, _system_config=limits, **quiet)
    told: list[Event] = []
    try:
        (result,) = execute([RunSpec(contender="torch")], NO_DATA, hungry, told.append)
    finally:
        ray.shutdown()
    record = result.record
    assert (record.status, record.attempts, record.node) == ("oom", MAX_ATTEMPTS, socket.gethostname()), record.error
    assert [event.attempt for event in told if isinstance(event, Retried)] == [2, 3]
    assert "low on memory" in next(event.reason for event in told if isinstance(event, Retried))
