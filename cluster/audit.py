"""The parity audit where the runs go: each contender's witness in a fresh process, placed as a run."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from lenet.data import FashionMnist
from runners import environment
from runners.audit import Audit, compare, conditions
from runners.divergence import Divergence, divergence, follow, walks
from runners.spec import Contender, RunSpec, Settings
from runners.witness import Level, Task, Witness, testify

# cluster.executor.call_each on a Ray cluster, cluster.inline.call_each on this machine alone.
CallEach = Callable[[Callable[[Any, FashionMnist], Any], Sequence[RunSpec], Sequence[Any], FashionMnist], Sequence[Any]]


def hold_audit(
    contenders: Sequence[Contender],
    settings: Settings,
    level: Level,
    data: FashionMnist,
    call_each: CallEach,
    versions: dict[str, str],
) -> Audit:
    """Audit the contenders against each other; `versions` are those of their processes."""
    begun = time.perf_counter()
    tasks = [Task(contender=contender, settings=settings, level=level) for contender in contenders]
    answers = call_each(testify, [task.spec() for task in tasks], tasks, data)
    witnesses = [_witness(task, answer) for task, answer in zip(tasks, answers, strict=True)]
    return Audit(
        level=level,
        rows=compare(tasks, witnesses, data),
        machines=tuple(dict.fromkeys(witness.machine for witness in witnesses if witness.machine)),
        conditions=conditions(contenders, settings, environment.code_sha256(), versions),
        defaults=tuple(witness.defaults for witness in witnesses if witness.defaults),
        seconds=time.perf_counter() - begun,
    )


def follow_divergence(
    contenders: Sequence[Contender], settings: Settings, data: FashionMnist, call_each: CallEach
) -> Divergence:
    """Follow how the contenders part; raises the exception of a process that fails."""
    walked = walks(contenders, settings)
    traces = call_each(follow, [walk.spec("float32") for walk in walked], walked, data)
    for trace in traces:
        if isinstance(trace, Exception):
            raise trace
    return divergence(walked, traces)


def _witness(task: Task, answer: Witness | Exception) -> Witness:
    """The answer, or what is left of a witness whose process failed: the last line says what it was."""
    if isinstance(answer, Exception):
        return Witness(str(task.contender), death=_last_line(answer))
    return answer


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
