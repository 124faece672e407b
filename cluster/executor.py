"""Runs as Ray tasks: each in a fresh process, with one GPU or its own cores, retried only if its process dies."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.inline import perform
from lenet.data import FashionMnist
from runners.events import Event, Report, Retried, Work
from runners.record import RunResult
from runners.run import failure
from runners.spec import RunSpec

MAX_ATTEMPTS = 3  # the first and at most two retries
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Need:
    """What one run takes of the cluster, all on one node."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        return f"{self.cpus} CPU(s)" + (f" and {self.gpus} GPU(s)" if self.gpus else "")


def need_of(spec: RunSpec) -> Need:
    """One GPU of its own where the study trains on GPUs; as many cores as it has threads in any case."""
    return Need(cpus=spec.threads, gpus=1 if spec.device == "gpu" else 0)


@dataclass(frozen=True)
class _Attempt:
    spec: RunSpec
    number: int


def execute(specs: Sequence[RunSpec], data: FashionMnist, work: Work, report: Report) -> Iterator[RunResult]:
    """Do the runs on the connected cluster, as many at once as fit, telling `report` as they go; one result a run.

    The data goes through Ray's object store, so no node needs a copy of its own. Closing the iterator early cancels
    what is still running.
    """
    shared_data, shared_work = ray.put(data), ray.put(work)
    # On the driver's own node: on another it would die with that node, and the study with it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox: Any = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()

    def place(attempt: _Attempt) -> ray.ObjectRef:
        need = need_of(attempt.spec)
        task = _perform.options(num_cpus=need.cpus, num_gpus=need.gpus, name=attempt.spec.run_id)
        return task.remote(attempt.spec, shared_data, shared_work, mailbox, time.time())

    placed = {place(attempt): attempt for attempt in (_Attempt(spec, 1) for spec in specs)}
    try:
        while placed:
            done, _ = ray.wait(list(placed), timeout=POLL_SECONDS)
            for event in ray.get(mailbox.take.remote()):
                report(event)
            for task in done:
                attempt = placed.pop(task)
                try:
                    yield _with_attempts(ray.get(task), attempt.number)
                except RayError as error:
                    if attempt.number == MAX_ATTEMPTS or isinstance(error, RayTaskError):
                        yield failure(attempt.spec, error, attempt.number)
                    else:
                        again = _Attempt(attempt.spec, attempt.number + 1)
                        placed[place(again)] = again
                        report(Retried(attempt.spec.run_id, again.number, str(error).strip().splitlines()[0]))
    finally:
        for task in placed:
            ray.cancel(task, force=True)


# A fresh process for every run: TensorFlow never gives GPU memory back, and thread counts can be set only once.
# Ray's own silent retries are off; `execute` retries a death and says so.
@ray.remote(max_calls=1, max_retries=0)
def _perform(spec: RunSpec, data: FashionMnist, work: Work, mailbox: ActorHandle, submitted_at: float) -> RunResult:
    def report(event: Event) -> None:
        # Not waited for: while a task waits on Ray its cores are lent to the next one, and the two would share them.
        mailbox.add.remote(event)

    return perform(spec, data, work, report, submitted_at)


def call_each(
    function: Callable[[Any, FashionMnist], Any], specs: Sequence[RunSpec], items: Sequence[Any], data: FashionMnist
) -> list[Any]:
    """`function(item, data)` of each item, side by side on the connected cluster, placed as the run of its spec.

    Each has a fresh process of its own. Where a call raised, or its process died, its place holds the RayError.
    """
    shared, needs = ray.put(data), map(need_of, specs)
    calls = [
        _call.options(num_cpus=need.cpus, num_gpus=need.gpus).remote(function, item, shared)
        for item, need in zip(items, needs, strict=True)
    ]
    try:
        return [_result(call) for call in calls]
    finally:
        for call in calls:
            ray.cancel(call, force=True)


@ray.remote(max_calls=1, max_retries=0)
def _call(function: Callable[[Any, FashionMnist], Any], item: Any, data: FashionMnist) -> Any:
    return function(item, data)


def _result(call: ray.ObjectRef) -> Any:
    try:
        return ray.get(call)
    except RayError as error:
        return error


class _Mailbox:
    """Carries events from the workers to the driver."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        """All events since the last call."""
        events, self._events = self._events, []
        return events


def _with_attempts(result: RunResult, attempts: int) -> RunResult:
    record = result.record.model_copy(update={"attempts": attempts})
    return dataclasses.replace(result, record=record)
