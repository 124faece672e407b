"""Make a connected cluster ready for runs: wait for room, make environments, compare versions."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster.executor import call_each
from cluster.isolation import Environments, environments_of, versions_on_nodes
from cluster.nodes import preflight, wait_for_room
from cluster.place import Place
from cluster.resources import need_of
from runners.core.environment import Software, code_sha256
from runners.core.spec import RunSpec


@dataclass(frozen=True)
class Session:
    """A connected cluster on which the processes of runs can start."""

    where: str  # one line: Ray's version, address and resources
    environments: Environments
    software: Software  # which every process must have
    patience_seconds: float

    @property
    def call_each(self) -> Callable[..., list[Any]]:
        """`executor.call_each` with this session's environments and patience."""
        return partial(call_each, environments=self.environments, patience_seconds=self.patience_seconds)


def ready(
    place: Place,
    device: str,
    where: str,
    frameworks: Collection[str],
    specs: Sequence[RunSpec],
    say: Callable[[str], None],
) -> Session:
    """Prepare the cluster for the runs `specs` on `device`, and make an environment for each of `frameworks`.

    Waits for room as long as `place` allows. Raises BadInput if a run can never be placed, if an environment cannot be
    made, or if nodes differ in their versions or in this project's code.
    """
    needs = tuple(dict.fromkeys(map(need_of, specs)))
    for need in needs:
        wait_for_room(need, place.wait_seconds, say)
        preflight(need)
    environments = environments_of(device, place.isolate)
    software = Software(code_sha256(), versions_on_nodes(frameworks, needs, environments, say))
    return Session(where, environments, software, place.patience_seconds)
