"""Give jobs their resources in the study's order, whatever each job needs.

Ray itself gives resources to whatever fits first, so an eight-GPU run would starve behind many one-GPU runs. Here each
job has a reservation (a placement group) before it begins. The next reservation always goes to the first job in the
queue. Where smaller jobs would overtake that job, the queue requests only its reservation.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from cluster.resources import Need, is_train_job, need_of
from cluster.train_job import groups_of_jobs
from runners.core.spec import Job

# Reservations requested at a time. An autoscaler knows no more of the queue than these.
REQUESTED_AT_ONCE = 16


@dataclass(frozen=True)
class Attempt:
    """One try of a job, counted from 1."""

    job: Job
    number: int = 1

    @property
    def need(self) -> Need:
        """The resources of the job's process, or of each of its processes."""
        return need_of(self.job[0])

    @property
    def is_train_job(self) -> bool:
        """Whether Ray Train starts the job's processes."""
        return is_train_job(self.job[0])


@dataclass(frozen=True, eq=False)
class Reservation:
    """Resources set aside on the cluster for any job with exactly this need."""

    need: Need
    group: PlacementGroup


class Queue:
    """Waiting jobs, and reservations: requested, ready, and in use.

    A Ray Train job reserves its resources itself. While it is first in the queue and has no resources yet, no other
    job begins.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = [Attempt(job) for job in jobs]
        self._requested: dict[ray.ObjectRef, Reservation] = {}
        self._ready: list[Reservation] = []
        self._in_use: set[Reservation] = set()
        self._ours: set[str] = set()  # ids of all placement groups that this queue ever requested
        self._starting: Attempt | None = None  # a Ray Train job that has begun and has no resources yet
        self._groups_before: set[str] = set()  # ids of the Ray Train jobs' groups when it began
        self._draining = False  # smaller jobs would overtake the first one: request only its reservation

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> list[Attempt]:
        """The first job in the queue, or nothing if the queue is empty."""
        return self._waiting[:1]

    @property
    def requests(self) -> list[ray.ObjectRef]:
        """Requests for reservations to wait for: once one of them is done, a job may be able to begin."""
        return list(self._requested)

    def append(self, attempt: Attempt) -> None:
        """Put an attempt at the end of the queue."""
        self._waiting.append(attempt)

    def begin(self) -> Iterator[tuple[Attempt, Reservation | None]]:
        """Yield the jobs that can begin now, each with its reservation, or with None for a Ray Train job."""
        if self._starting is not None and groups_of_jobs() - self._ours - self._groups_before:
            self._starting = None
        self._collect()
        while self._waiting and self._starting is None:
            first = self._waiting[0]
            if first.is_train_job:
                self._starting, self._groups_before = first, groups_of_jobs() - self._ours
                reservation = None
            elif (reservation := self._take(first.need)) is None:
                break
            self._draining = False
            yield self._waiting.pop(0), reservation
        self._draining = self._draining or bool(self._ready)
        self._adjust()

    def ended(self, attempt: Attempt, reservation: Reservation | None, usable: bool) -> None:
        """Free an ended job's reservation. If usable, it passes to the first job if that has exactly the same need.

        A new reservation would take up to a second, since Ray tries to place groups once a second.
        """
        if reservation is None:
            self._starting = None if attempt == self._starting else self._starting
            return
        self._in_use.remove(reservation)
        if usable and self._waiting and self._waiting[0].need == reservation.need:
            self._ready.append(reservation)
        else:
            remove_placement_group(reservation.group)

    def close(self) -> None:
        """Free all reservations, and so kill the processes in them."""
        for reservation in [*self._requested.values(), *self._ready, *self._in_use]:
            remove_placement_group(reservation.group)

    def _collect(self) -> None:
        """Move the reservations that have become ready to `_ready`."""
        if not self._requested:
            return
        done, _ = ray.wait(self.requests, num_returns=len(self._requested), timeout=0)
        self._ready += [self._requested.pop(ref) for ref in done]

    def _take(self, need: Need) -> Reservation | None:
        reservation = next((ready for ready in self._ready if ready.need == need), None)
        if reservation is not None:
            self._ready.remove(reservation)
            self._in_use.add(reservation)
        return reservation

    def _adjust(self) -> None:
        """Free the reservations that the first job cannot use, and request those in `_wanted`."""
        while self._ready:
            remove_placement_group(self._ready.pop().group)
        wanted = self._wanted()
        requested = Counter(reservation.need for reservation in self._requested.values())
        surplus, missing = requested - Counter(wanted), Counter(wanted) - requested
        for ref, reservation in list(self._requested.items()):
            if surplus[reservation.need]:
                surplus[reservation.need] -= 1
                remove_placement_group(self._requested.pop(ref).group)
        for need in wanted:
            if missing[need]:
                missing[need] -= 1
                self._request(need)

    def _request(self, need: Need) -> None:
        group = placement_group([need.resources()] * need.processes)
        self._ours.add(group.id.hex())
        self._requested[group.ready()] = Reservation(need, group)

    def _wanted(self) -> list[Need]:
        """The needs to have requests for, in the order of the queue; while draining, only the first job's."""
        if self._starting is not None:
            return []
        window = [attempt.need for attempt in self._waiting[:REQUESTED_AT_ONCE] if not attempt.is_train_job]
        return [need for need in window if need == window[0] or not self._draining]
