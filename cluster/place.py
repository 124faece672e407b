"""Where the user wants runs to go."""

from dataclasses import dataclass

PATIENCE_SECONDS = 60.0  # that runs wait for another node once the last one that could hold them is gone


@dataclass(frozen=True)
class Place:
    """Where the user wants runs to go."""

    address: str = "auto"  # auto, local or a cluster's HOST:PORT
    device: str = "auto"  # cpu, gpu, or auto: what the study has, or else what the cluster has
    isolate: bool | None = None  # an environment for each framework; None: only on GPUs
    wait_seconds: float = 0.0  # for an autoscaler to make room

    @property
    def patience_seconds(self) -> float:
        """How long runs wait for another node; an autoscaler may need longer than most."""
        return max(self.wait_seconds, PATIENCE_SECONDS)
