"""Where the user wants runs to go."""

from dataclasses import dataclass

PATIENCE_SECONDS = 60.0  # how long runs wait for a new node after the last one that could hold them is lost


@dataclass(frozen=True)
class Place:
    """Where the user wants runs to go."""

    address: str = "auto"  # auto, local or a cluster's HOST:PORT
    device: str = "auto"  # cpu, gpu, or auto: the study's if it has begun, else GPUs if the cluster has any
    isolate: bool | None = None  # a separate environment for each framework; None: only on GPUs
    wait_seconds: float = 0.0  # for an autoscaler to make room

    @property
    def patience_seconds(self) -> float:
        """How long runs wait for a new node: longer than PATIENCE_SECONDS if an autoscaler gets longer."""
        return max(self.wait_seconds, PATIENCE_SECONDS)
