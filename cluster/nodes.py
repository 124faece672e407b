"""The CPUs and GPUs of the connected cluster's nodes, and whether a run could ever be placed on them."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import ray
from ray.autoscaler.sdk import request_resources

from cluster.resources import Need
from runners.core.errors import GOES_ON, BadInput, ClusterLost

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Node:
    """All CPUs and GPUs of one living node, free or taken."""

    cpus: int
    gpus: int


def nodes() -> list[Node]:
    """Return the connected cluster's living nodes."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(r.get("CPU", 0)), int(r.get("GPU", 0))) for r in resources]


def device_here() -> Literal["cpu", "gpu"]:
    """Return the device that the connected cluster trains on: the GPU if any node has one."""
    return "gpu" if any(node.gpus for node in nodes()) else "cpu"


def slots(need: Need) -> int:
    """Return how many runs with this need fit on the cluster side by side."""
    return sum(need.fits(node.cpus, node.gpus) for node in nodes()) // need.processes


def preflight(need: Need) -> None:
    """Raise BadInput, with the need and the nodes, if no node could ever hold the run: Ray would wait for ever."""
    if slots(need):
        return
    where = "on one node" if need.processes == 1 else "each on one node"
    raise BadInput(f"each run needs {need} {where}, but {inventory()}")


def wait_for_room(need: Need, seconds: float, say: Callable[[str], None]) -> None:
    """Ask an autoscaler for nodes that could hold one run, and wait for them for at most `seconds`.

    Returns without an error in any case; `preflight` checks the result. Before a wait, `say` gets one line.
    """
    if seconds <= 0 or slots(need):
        return
    say(f"Waiting up to {seconds:g} seconds for room for {need}: {inventory()}.")
    deadline = time.monotonic() + seconds
    request_resources(bundles=[need.resources()] * need.processes)
    try:
        while not slots(need) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    finally:
        request_resources(bundles=[])  # the runs' own reservations ask for nodes from now on


def no_room_since(needs: Collection[Need], since: float | None, patience_seconds: float) -> float | None:
    """Return the time since which no node could hold any of `needs`, or None if one can.

    Pass the previous answer as `since`; times are monotonic seconds. Raises ClusterLost, with the needs and the nodes,
    after `patience_seconds`: Ray itself would wait for ever.
    """
    if not needs or any(map(slots, needs)):
        return None
    now = time.monotonic()
    if since is not None and now - since >= patience_seconds:
        wanted = " or ".join(dict.fromkeys(map(str, needs)))
        raise ClusterLost(
            f"no node has had room for {wanted} for {patience_seconds:g} seconds: {inventory()}; "
            f"{GOES_ON} once there is room"
        )
    return now if since is None else since


def inventory() -> str:
    """Return a clause that lists the cluster's nodes with their CPUs and GPUs."""
    living = nodes()
    listed = "; ".join(f"{node.cpus} CPU(s), {node.gpus} GPU(s)" for node in living)
    return f"the cluster's {len(living)} node(s) have: {listed}"
