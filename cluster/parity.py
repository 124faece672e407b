"""Run the parity audit where runs go: each contender computes in a fresh process, which is placed like a run."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from cluster import inline
from cluster.place import Place
from lenet.data import FashionMnist
from runners.core import environment
from runners.core.environment import Software, code_sha256, installed_versions, refuse_other_software
from runners.core.errors import BadInput, ClusterLost, ProcessDied, last_line
from runners.core.spec import Contender, Device, RunSpec, Settings
from runners.parity.checks import Audit, compare, conditions
from runners.parity.divergence import Divergence, divergence, follow, walks
from runners.parity.evidence import Level, Task, Witness, testify

# cluster.executor.call_each on a Ray cluster, cluster.inline.call_each on this machine alone.
CallEach = Callable[[Callable[[Any, FashionMnist], Any], Sequence[RunSpec], Sequence[Any], FashionMnist], Sequence[Any]]


@dataclass(frozen=True)
class AuditProcesses:
    """How to call functions in fresh processes that are placed like runs."""

    call_each: CallEach
    device: Device
    software: Software  # which every process must have


@contextmanager
def audit_processes(place: Place, specs: Sequence[RunSpec], say: Callable[[str], None]) -> Iterator[AuditProcesses]:
    """Prepare for the processes of an audit, one like the run of each spec, while the context lasts.

    They run on this machine without Ray unless they need GPUs, other machines, replicas or isolation. Raises BadInput
    if a process can never be placed.
    """
    frameworks = {spec.contender.framework for spec in specs}
    alone = all(spec.contender.strategy == "single" for spec in specs)
    on_cpu = place.device == "cpu" or (place.device == "auto" and environment.gpu_driver() is None)
    if place.address == "local" and on_cpu and alone and not place.isolate:
        cores, threads = environment.cores(), specs[0].threads
        if threads > cores:
            raise BadInput(f"each process needs {threads} CPU(s), but this machine has {cores}; lower --threads")
        yield AuditProcesses(inline.call_each, "cpu", Software(code_sha256(), installed_versions(frameworks)))
        return
    # These import Ray, which takes a second and is not needed above.
    from cluster.nodes import device_here
    from cluster.ready import ready
    from cluster.session import session

    with session(place.address) as where:
        device = device_here() if place.device == "auto" else cast(Device, place.device)
        placed = [spec.model_copy(update={"device": device}) for spec in specs]
        cluster = ready(place, device, where, frameworks, placed, say)
        yield AuditProcesses(cluster.call_each, device, cluster.software)


def announcement(contenders: Sequence[Contender], level: Level) -> str:
    """Return the message to show before an audit, which takes a while."""
    return f"Parity audit ({level}): {', '.join(map(str, contenders))}, each in a process of its own."


def run_audit(
    contenders: Sequence[Contender],
    settings: Settings,
    level: Level,
    data: FashionMnist,
    call_each: CallEach,
    software: Software,
) -> Audit:
    """Audit the contenders against each other; each of their processes must have this `software`.

    Raises BadInput if one has other software, and ClusterLost if its processes kept dying: a death is no mismatch.
    """
    begun = time.perf_counter()
    tasks = [Task(contender=contender, settings=settings, level=level) for contender in contenders]
    answers = call_each(partial(_testify_with, software), [task.spec() for task in tasks], tasks, data)
    witnesses = [_witness(task, answer) for task, answer in zip(tasks, answers, strict=True)]
    return Audit(
        level=level,
        rows=compare(tasks, witnesses, data),
        machines=tuple(dict.fromkeys(witness.machine for witness in witnesses if witness.machine)),
        conditions=conditions(contenders, settings, software.code_sha256, software.versions),
        defaults=tuple(witness.defaults for witness in witnesses if witness.defaults),
        seconds=time.perf_counter() - begun,
    )


def follow_divergence(
    contenders: Sequence[Contender], settings: Settings, data: FashionMnist, call_each: CallEach
) -> Divergence:
    """Follow how the contenders' weights diverge. Raises the exception of a process that fails; else as `run_audit`."""
    walked = walks(contenders, settings)
    traces = call_each(follow, [walk.spec("float32") for walk in walked], walked, data)
    for walk, trace in zip(walked, traces, strict=True):
        _raise_if_lost(walk.name, trace)
        if isinstance(trace, Exception):
            raise trace
    return divergence(walked, traces)


def _testify_with(software: Software, task: Task, data: FashionMnist) -> Witness:
    """Call `testify`; raises BadInput if this process has other software."""
    refuse_other_software(task.contender.framework, software)
    return testify(task, data)


def _witness(task: Task, answer: Witness | Exception) -> Witness:
    """Return the answer of a process or, if it failed, a witness that holds only the last line of the error."""
    _raise_if_lost(str(task.contender), answer)
    if isinstance(answer, Exception):
        return Witness(str(task.contender), death=last_line(answer))
    return answer


def _raise_if_lost(name: str, answer: Any) -> None:
    if isinstance(answer, BadInput):
        raise BadInput(str(getattr(answer, "cause", answer))) from answer
    if isinstance(answer, ProcessDied):
        raise ClusterLost(
            f"the audit is not done: every process for {name} died ({answer}), for example because it was killed "
            "or ran out of memory; repeat the command"
        )
