"""A run of several processes as a Ray Train job: one reservation for all of them, and one process group."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import ray
from ray.util.placement_group import get_current_placement_group, placement_group_table

from cluster.resources import Need
from runners.core.errors import ProcessDied
from runners.core.scratch import scratch

WAIT_SECONDS = 30 * 24 * 3600  # for a job's resources, which other jobs may hold: Ray's tasks wait for ever too
ENVIRONMENT = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(WAIT_SECONDS),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # so that the run has the same current folder as any other
}


class OutOfMemoryError(ProcessDied):
    """Ray's memory monitor killed a process of the job. It deserves a retry, as any death; `run` knows the name."""


def fit(function: Callable[[], Any], need: Need, trainer_class: str) -> Any:
    """Call `function` in each process of a group; return the answer of the process with rank 0.

    `trainer_class`, a class of Ray Train, makes the group. Call this in a separate process, which coordinates the
    others. Raises the exception if `function` raised one, or ProcessDied if a process died. Ray Train itself retries
    nothing, so that the executor makes every attempt and records it.
    """
    os.environ.update(ENVIRONMENT)
    # Imported only here, because these load the framework and much else.
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    def replica() -> Any:
        value = function()
        return value if is_first() else None

    once = FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0)
    with scratch() as folder:
        module, _, name = trainer_class.rpartition(".")
        trainer = getattr(importlib.import_module(module), name)(
            replica,
            scaling_config=ScalingConfig(
                num_workers=need.processes,
                use_gpu=need.gpus > 0,
                resources_per_worker={"CPU": need.cpus, **({"GPU": need.gpus} if need.gpus else {})},
                placement_strategy="PACK",
            ),
            run_config=RunConfig(storage_path=str(folder), failure_config=once),
        )
        try:
            return trainer.fit().return_value
        except TrainingFailedError as error:
            raise _reason(error) from error


def is_first() -> bool:
    """Return whether this process of a job has rank 0."""
    from ray.train import get_context

    return get_context().get_world_rank() == 0


def seconds_waited() -> float:
    """Return the seconds for which this process's job waited until the cluster had room for it."""
    stats = placement_group_table(get_current_placement_group())["stats"]
    return stats["end_to_end_creation_latency_ms"] / 1000


def groups_of_jobs() -> set[str]:
    """Return the ids of placement groups, of Ray Train and others, that this Ray session made and that have resources.

    The id of a group ends with the id of the session that made it.
    """
    session = ray.get_runtime_context().get_job_id()
    groups = placement_group_table()
    return {group for group, entry in groups.items() if entry["state"] == "CREATED" and group.endswith(session)}


def _reason(error: Exception) -> Exception:
    """Return ProcessDied if a process died: the others' exceptions follow from it. Else return the first exception."""
    # Ray Train's own errors on a process have this class, which is not public.
    from ray.train.v2._internal.exceptions import RayTrainError

    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    deaths = [
        rank for rank, failure in failures.items() if isinstance(failure, RayTrainError | ray.exceptions.RayError)
    ]
    if failures and not deaths:
        return failures[min(failures)]
    event = f"the process of replica {deaths[0]} died" if deaths else "the processes could not be started together"
    out_of_memory = any(_out_of_memory(failures[rank]) for rank in deaths)
    return (OutOfMemoryError if out_of_memory else ProcessDied)(f"{event}: {error}")


def _out_of_memory(death: Exception) -> bool:
    """Return whether Ray's memory monitor killed the process; Ray Train wraps the monitor's error."""
    return isinstance(getattr(death, "health_check_failure", death), ray.exceptions.OutOfMemoryError)
