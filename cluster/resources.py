"""What a run takes of a cluster."""

from dataclasses import dataclass

from runners.core.frameworks import strategy_of
from runners.core.spec import RunSpec


@dataclass(frozen=True)
class Need:
    """What one run takes of the cluster: so much on one node, for each of its processes."""

    cpus: int
    gpus: int
    processes: int = 1

    def __str__(self) -> str:
        each = f"{self.cpus} CPU(s)" + (f" and {self.gpus} GPU(s)" if self.gpus else "")
        return each if self.processes == 1 else f"{self.processes} times {each}"

    def resources(self) -> dict[str, int]:
        """What each process takes, as Ray writes it."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def fits(self, cpus: int, gpus: int) -> int:
        """How many processes a node with so much has room for."""
        return min(cpus // self.cpus, gpus // self.gpus if self.gpus else cpus)


def trainer_of(spec: RunSpec) -> str | None:
    """Ray Train's class for a run of several processes; None for a run that is one process."""
    return strategy_of(spec.contender.framework, spec.contender.strategy).trainer


def in_train(spec: RunSpec) -> bool:
    """Whether the run is a Ray Train job, and not one process."""
    return trainer_of(spec) is not None


def need_of(spec: RunSpec) -> Need:
    """For each replica one GPU, where the study trains on GPUs, and in any case as many cores as it has threads.

    Replicas are processes of their own, or all in one process and so on one node.
    """
    processes = spec.contender.replicas if in_train(spec) else 1
    replicas = spec.contender.replicas // processes  # of each process
    return Need(cpus=replicas * spec.threads, gpus=replicas if spec.device == "gpu" else 0, processes=processes)
