"""The CPUs and GPUs that a run takes."""

from dataclasses import dataclass

from runners.core.frameworks import strategy_of
from runners.core.spec import RunSpec


@dataclass(frozen=True)
class Need:
    """The CPUs and GPUs that each process of a run takes, on one node."""

    cpus: int
    gpus: int
    processes: int = 1

    def __str__(self) -> str:
        each = f"{self.cpus} CPU(s)" + (f" and {self.gpus} GPU(s)" if self.gpus else "")
        return each if self.processes == 1 else f"{self.processes} times {each}"

    def resources(self) -> dict[str, int]:
        """Return what each process takes, in Ray's notation."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def fits(self, cpus: int, gpus: int) -> int:
        """Return how many processes fit on a node with these CPUs and GPUs."""
        return min(cpus // self.cpus, gpus // self.gpus if self.gpus else cpus)


def trainer_of(spec: RunSpec) -> str | None:
    """Return Ray Train's class for a run of several processes, or None for a run of one process."""
    return strategy_of(spec.contender.framework, spec.contender.strategy).trainer


def is_train_job(spec: RunSpec) -> bool:
    """Return whether Ray Train starts the run's processes."""
    return trainer_of(spec) is not None


def need_of(spec: RunSpec) -> Need:
    """Return what the run takes: for each replica as many cores as it has threads, and on GPUs one GPU.

    Each replica has a process of its own, or all share one process and so one node.
    """
    processes = spec.contender.replicas if is_train_job(spec) else 1
    replicas = spec.contender.replicas // processes  # of each process
    return Need(cpus=replicas * spec.threads, gpus=replicas if spec.device == "gpu" else 0, processes=processes)
