"""The order in which runs get their resources: the study's, whatever they need.

Ray itself gives resources to whatever fits first, and a run of eight GPUs would wait behind every run of one that the
study has. Here each run has a reservation (a placement group) before it begins, the first in line always gets the next
one, and where others would get past it only its own is left to wait for.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from cluster.resources import Need, in_train, need_of
from cluster.train_job import groups_of_jobs
from runners.core.spec import RunSpec

# Reservations asked for at a time. An autoscaler sees no more of the line than these.
ASKED_FOR = 16


@dataclass(frozen=True)
class Attempt:
    """One try of a run, counted from 1."""

    spec: RunSpec
    number: int = 1


@dataclass(frozen=True, eq=False)
class Reservation:
    """Resources set aside on the cluster for any run that needs just so much."""

    need: Need
    group: PlacementGroup


class Line:
    """Runs that wait, and reservations: asked for, ready, and in use.

    A Ray Train job reserves its resources itself. From its place at the head of the line it holds up all others until
    it has them.
    """

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        self._waiting = [Attempt(spec) for spec in specs]
        self._asked: dict[ray.ObjectRef, Reservation] = {}
        self._ready: list[Reservation] = []
        self._in_use: set[Reservation] = set()
        self._ours: set[str] = set()  # ids of all groups that were ever asked for here
        self._job: Attempt | None = None  # begun, and without its resources yet
        self._before_job: set[str] = set()  # ids of the jobs' groups when it began
        self._draining = False  # for the first in line, past which another would have got

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> list[Attempt]:
        """The first in line, if there is one."""
        return self._waiting[:1]

    @property
    def asked(self) -> list[ray.ObjectRef]:
        """What to wait for: one of them done may mean that a run can begin."""
        return list(self._asked)

    def append(self, attempt: Attempt) -> None:
        """Have a run wait, behind all others."""
        self._waiting.append(attempt)

    def begin(self) -> Iterator[tuple[Attempt, Reservation | None]]:
        """Those whose turn it is, each with its reservation, or with none if it is a job."""
        if self._job is not None and groups_of_jobs() - self._ours - self._before_job:
            self._job = None
        self._collect()
        while self._waiting and self._job is None:
            first = self._waiting[0]
            if in_train(first.spec):
                self._job, self._before_job = first, groups_of_jobs() - self._ours
                reservation = None
            elif (reservation := self._take(need_of(first.spec))) is None:
                break
            self._draining = False
            yield self._waiting.pop(0), reservation
        self._draining = self._draining or bool(self._ready)
        self._adjust()

    def ended(self, attempt: Attempt, reservation: Reservation | None, usable: bool) -> None:
        """A run has ended. If the first in line needs just as much, its reservation, if usable still, goes on to it.

        Made anew one takes up to a second: Ray looks only so often whether there is room for those that wait.
        """
        if reservation is None:
            self._job = None if attempt == self._job else self._job
            return
        self._in_use.remove(reservation)
        if usable and self._waiting and need_of(self._waiting[0].spec) == reservation.need:
            self._ready.append(reservation)
        else:
            remove_placement_group(reservation.group)

    def close(self) -> None:
        """Free everything, and kill what still runs in it."""
        for reservation in [*self._asked.values(), *self._ready, *self._in_use]:
            remove_placement_group(reservation.group)

    def _collect(self) -> None:
        """See which reservations have become ready."""
        if not self._asked:
            return
        done, _ = ray.wait(self.asked, num_returns=len(self._asked), timeout=0)
        self._ready += [self._asked.pop(ref) for ref in done]

    def _take(self, need: Need) -> Reservation | None:
        found = next((reservation for reservation in self._ready if reservation.need == need), None)
        if found is not None:
            self._ready.remove(found)
            self._in_use.add(found)
        return found

    def _adjust(self) -> None:
        """Free what is of no use to the first in line; ask for what it and, unless it drains, those behind it need."""
        while self._ready:
            remove_placement_group(self._ready.pop().group)
        wanted = self._wanted()
        asked = Counter(reservation.need for reservation in self._asked.values())
        surplus, missing = asked - Counter(wanted), Counter(wanted) - asked
        for ref, reservation in list(self._asked.items()):
            if surplus[reservation.need]:
                surplus[reservation.need] -= 1
                remove_placement_group(self._asked.pop(ref).group)
        for need in wanted:
            if missing[need]:
                missing[need] -= 1
                self._ask(need)

    def _ask(self, need: Need) -> None:
        group = placement_group([need.resources()] * need.processes)
        self._ours.add(group.id.hex())
        self._asked[group.ready()] = Reservation(need, group)

    def _wanted(self) -> list[Need]:
        """What to have asked for, in the order of the line."""
        if self._job is not None:
            return []
        window = [need_of(attempt.spec) for attempt in self._waiting[:ASKED_FOR] if not in_train(attempt.spec)]
        return [need for need in window if need == window[0] or not self._draining]
