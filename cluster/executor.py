"""Do runs as Ray tasks, each in a fresh process with its own GPU or cores; retry a run only if its process dies.

A run of several processes is a Ray Train job. A task that takes no cores waits for that job.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ray
from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from cluster.inline import MAX_ATTEMPTS, perform, perform_or_raise
from cluster.isolation import Environments, RuntimeEnv, shared
from cluster.nodes import no_room_since
from cluster.place import PATIENCE_SECONDS
from cluster.queue import Attempt, Queue, Reservation
from cluster.resources import Need, need_of, trainer_of
from cluster.train_job import fit, is_first, seconds_waited
from lenet.data import FashionMnist
from runners.core import process
from runners.core.errors import ProcessDied, first_line
from runners.core.events import Event, Report, Retried, Started, Work
from runners.core.frameworks import process_environment
from runners.core.record import RunResult
from runners.core.run import failures, process_began_at
from runners.core.spec import Job, RunSpec
from runners.core.study import jobs

POLL_SECONDS = 0.25


def execute(
    specs: Sequence[RunSpec],
    data: FashionMnist,
    work: Work,
    report: Report,
    environments: Environments = shared,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[RunResult]:
    """Do the runs on the connected cluster, in order, as many at once as fit; yield one result a run.

    `report` gets the runs' events. Each process has the environment of its framework. The data goes through Ray's
    object store, so no node needs a copy of its own. Closing the iterator early cancels the runs in progress. Raises
    ClusterLost if for `patience_seconds` no run is in progress and no living node could hold the next one.
    """
    mailbox = _mailbox_here()
    start = partial(_start, (ray.put(data), ray.put(work)), mailbox, environments)
    queue = Queue(jobs(specs))
    placed: dict[ray.ObjectRef, tuple[Attempt, Reservation | None]] = {}
    nodes: dict[str, str] = {}  # by run id: the node on which the run last started
    no_room: float | None = None  # the monotonic time since which no run could continue or start, in seconds
    try:
        while queue or placed:
            for attempt, reservation in queue.begin():
                placed[start(attempt.job, reservation)] = attempt, reservation
            done, _ = ray.wait([*placed, *queue.requests], timeout=POLL_SECONDS)
            events = _new_events(mailbox)
            nodes |= {event.run_id: event.node for event in events if isinstance(event, Started)}
            for event in events:
                report(event)
            for task in placed.keys() & set(done):
                attempt, reservation = placed.pop(task)
                answer = _result(task)
                ended = not isinstance(answer, Exception)
                queue.ended(attempt, reservation, usable=ended)
                if not ended and attempt.number < MAX_ATTEMPTS and _died(answer):
                    queue.append(replace(attempt, number=attempt.number + 1))
                    for spec in attempt.job:
                        report(Retried(spec.run_id, attempt.number + 1, _first_line(answer)))
                    continue
                results = answer if ended else failures(attempt.job, answer)
                yield from (_with_attempts_and_node(result, attempt.number, nodes) for result in results)
            attempts = [*queue.first, *(attempt for attempt, _ in placed.values())]
            no_room = no_room_since([attempt.need for attempt in attempts], no_room, patience_seconds)
    finally:
        _cancel_unfinished([*placed])
        queue.close()


def _mailbox_here() -> Any:
    """Start a mailbox on the driver's node: on another it would die with that node. Ray restarts it if it dies."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(_Mailbox).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()


def _new_events(mailbox: ActorHandle) -> list[Event]:
    """Take the events out of the mailbox; none while Ray restarts it: results hold all that events show."""
    try:
        return ray.get(mailbox.take.remote())
    except (ActorDiedError, ActorUnavailableError):
        return []


def _start(
    shared: tuple[ray.ObjectRef, ray.ObjectRef],
    mailbox: ActorHandle,
    environments: Environments,
    job: Job,
    reservation: Reservation | None,
) -> ray.ObjectRef:
    """Submit a job: in its reservation, or as a Ray Train job, which has none."""
    spec = job[0]
    need = need_of(spec)
    if reservation is None:
        together = _perform_together.options(runtime_env=_in_train_environment(spec, environments), name=spec.run_id)
        return together.remote(job, shared, mailbox, need, time.time())
    task = _perform.options(
        num_cpus=need.cpus,
        num_gpus=need.gpus,
        scheduling_strategy=PlacementGroupSchedulingStrategy(reservation.group, placement_group_bundle_index=0),
        runtime_env=environments(spec.contender.framework),
        name=spec.run_id,
    )
    return task.remote(job, *shared, mailbox, time.time())


# A fresh process for every run: TensorFlow never gives GPU memory back, and thread counts can be set only once.
# Ray's own silent retries are off; `execute` retries a run whose process died, and reports it.
@ray.remote(max_calls=1, max_retries=0)
def _perform(
    job: Job, data: FashionMnist, work: Work, mailbox: ActorHandle, submitted_at: float
) -> tuple[RunResult, ...]:
    return perform(job, data, work, _reporter(mailbox), process_began_at(submitted_at))


# Takes no cores: it waits for processes that have their own.
@ray.remote(num_cpus=0, max_calls=1, max_retries=0)
def _perform_together(
    job: Job, shared: Sequence[ray.ObjectRef], mailbox: ActorHandle, need: Need, submitted_at: float
) -> tuple[RunResult, ...]:
    began_at = process_began_at(submitted_at)

    def replica() -> tuple[RunResult, ...]:
        data, work = ray.get([*shared])
        report = _reporter(mailbox) if is_first() else _ignore
        return perform_or_raise(job, data, work, report, began_at + seconds_waited())

    try:
        return fit(replica, need, str(trainer_of(job[0])))
    except ProcessDied:
        raise
    except Exception as error:
        return failures(job, error)


def _reporter(mailbox: ActorHandle) -> Report:
    def report(event: Event) -> None:
        # Do not wait for an answer: Ray would lend the waiting task's cores to the next task, and both would use them.
        mailbox.add.remote(event)

    return report


def _ignore(_event: Event) -> None:
    pass


def call_each(
    function: Callable[[Any, FashionMnist], Any],
    specs: Sequence[RunSpec],
    items: Sequence[Any],
    data: FashionMnist,
    environments: Environments = shared,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[Any]:
    """Return `function(item, data)` for each item, called in parallel on the connected cluster.

    Each call is placed like the run of its spec, in one or more fresh processes; the answer of the first process
    counts. If a process dies, the call is repeated, up to MAX_ATTEMPTS times in all. The answer is the RayError if the
    call raised, and a ProcessDied if processes died in every attempt. Raises ClusterLost as `execute` does.
    """
    shared_data = ray.put(data)

    def begin(place: int) -> ray.ObjectRef:
        spec, item = specs[place], items[place]
        need, framework = need_of(spec), spec.contender.framework
        if trainer := trainer_of(spec):
            together = _call_together.options(runtime_env=_in_train_environment(spec, environments))
            return together.remote(function, item, [shared_data], need, trainer)
        call = _call.options(num_cpus=need.cpus, num_gpus=need.gpus, runtime_env=environments(framework))
        return call.remote(function, item, shared_data)

    answers: list[Any] = [None] * len(items)
    calls = {begin(place): (place, 1) for place in range(len(items))}
    no_room: float | None = None  # the monotonic time since which no call could continue or start, in seconds
    try:
        while calls:
            done, _ = ray.wait([*calls], timeout=POLL_SECONDS)
            for call in done:
                place, attempt = calls.pop(call)
                answers[place] = _result(call)
                if isinstance(answers[place], RayError) and _died(answers[place]):
                    answers[place] = ProcessDied(_first_line(answers[place]))
                    if attempt < MAX_ATTEMPTS:
                        calls[begin(place)] = place, attempt + 1
            no_room = no_room_since([need_of(specs[place]) for place, _ in calls.values()], no_room, patience_seconds)
        return answers
    finally:
        _cancel_unfinished([*calls])


@ray.remote(max_calls=1, max_retries=0)
def _call(function: Callable[[Any, FashionMnist], Any], item: Any, data: FashionMnist) -> Any:
    return function(item, data)


@ray.remote(num_cpus=0, max_calls=1, max_retries=0)
def _call_together(
    function: Callable[[Any, FashionMnist], Any], item: Any, shared: list[ray.ObjectRef], need: Need, trainer_class: str
) -> Any:
    return fit(lambda: function(item, *ray.get(shared)), need, trainer_class)


def _in_train_environment(spec: RunSpec, environments: Environments) -> RuntimeEnv:
    """Return an environment that sets the variables as a process starts: before Ray Train imports the framework."""
    framework = spec.contender.framework
    variables = {
        WORKER_PROCESS_SETUP_HOOK_ENV_VAR: f"{process.__name__}.{process.set_environment_from_variable.__name__}",
        process.ENVIRONMENT_VARIABLE: json.dumps(process_environment(framework, spec.track)),
    }
    return {**environments(framework), "env_vars": variables}


def _cancel_unfinished(tasks: list[ray.ObjectRef]) -> None:
    """Kill the processes of those tasks that still run.

    Cancelling a task that has just ended can kill the driver: Ray 2.60 may record the end after the cancellation
    ("Tried to complete task that was not pending").
    """
    _, running = ray.wait(tasks, num_returns=len(tasks), timeout=0) if tasks else ([], [])
    for task in running:
        ray.cancel(task, force=True)


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
        """Return all events since the last call."""
        events, self._events = self._events, []
        return events


def _with_attempts_and_node(result: RunResult, attempts: int, nodes: dict[str, str]) -> RunResult:
    """Return the result with what only the driver knows; `nodes` is for runs that could not record their own node."""
    record = result.record
    known = {"attempts": attempts, "node": record.node or nodes.get(record.run_id)}
    return replace(result, record=record.model_copy(update=known))


def _died(error: RayError) -> bool:
    """Return whether a process died, rather than raised."""
    return isinstance(error, ProcessDied) or not isinstance(error, RayTaskError)


def _first_line(error: RayError) -> str:
    return first_line(getattr(error, "cause", error))
