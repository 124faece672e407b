"""The parity audit on the machines that the runs get: each contender's witness in a fresh process, placed as a run."""

import time
from collections.abc import Sequence

from ray.exceptions import RayError

from cluster.executor import call_each, need_of
from lenet.data import FashionMnist
from runners.audit import Audit, compare, conditions
from runners.divergence import Divergence, divergence, follow, walks
from runners.spec import Contender, Settings
from runners.witness import Level, Task, Witness, testify


def hold_audit(contenders: Sequence[Contender], settings: Settings, level: Level, data: FashionMnist) -> Audit:
    """Audit the contenders against each other on the connected cluster."""
    begun = time.perf_counter()
    tasks = [Task(contender=contender, settings=settings, level=level) for contender in contenders]
    answers = call_each(testify, tasks, data, [need_of(task.spec()) for task in tasks])
    witnesses = [_witness(task, answer) for task, answer in zip(tasks, answers, strict=True)]
    return Audit(
        level=level,
        rows=compare(tasks, witnesses, data),
        machines=tuple(dict.fromkeys(witness.machine for witness in witnesses if witness.machine)),
        conditions=conditions(contenders, settings),
        seconds=time.perf_counter() - begun,
    )


def follow_divergence(contenders: Sequence[Contender], settings: Settings, data: FashionMnist) -> Divergence:
    """Follow how the contenders part, on the connected cluster; raises the RayError of a process that fails."""
    walked = walks(contenders, settings)
    traces = call_each(follow, walked, data, [need_of(walk.spec("float32")) for walk in walked])
    for trace in traces:
        if isinstance(trace, RayError):
            raise trace
    return divergence(walked, traces)


def _witness(task: Task, answer: Witness | RayError) -> Witness:
    """The answer, or what is left of a witness whose process failed: the last line says what it was."""
    if isinstance(answer, RayError):
        return Witness(str(task.contender), death=str(answer).strip().splitlines()[-1])
    return answer
