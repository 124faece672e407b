"""A run of several processes as a Ray Train job: all their resources reserved together, one process group of them."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import ray
from ray.util.placement_group import get_current_placement_group, placement_group_table

from cluster.resources import Need
from runners.core.errors import ProcessDied
from runners.core.scratch import scratch

WAIT_SECONDS = 30 * 24 * 3600  # for the resources of a job, which others may hold: as patient as Ray is with tasks
ENVIRONMENT = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(WAIT_SECONDS),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a run is at home where any other is
}


class OutOfMemoryError(ProcessDied):
    """Ray's memory monitor killed a process of the job: worth another attempt too, and called as others call it."""


def fit(function: Callable[[], Any], need: Need, trainer_class: str) -> Any:
    """Call `function` in each process of a group; what it returns in the first, that of rank 0.

    `trainer_class` of Ray Train makes the group: PyTorch's process group, or what TF_CONFIG tells TensorFlow.

    To be called in a process of its own, which coordinates. Raises the exception of a `function` that raised, or
    ProcessDied. Ray Train itself retries nothing, so that every attempt is the executor's and is recorded.
    """
    os.environ.update(ENVIRONMENT)
    # They load the framework and much else, which only this process needs.
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
    """Whether this process of a job is the one with rank 0."""
    from ray.train import get_context

    return get_context().get_world_rank() == 0


def seconds_waited() -> float:
    """How long this process's job waited until the cluster had room for it."""
    stats = placement_group_table(get_current_placement_group())["stats"]
    return stats["end_to_end_creation_latency_ms"] / 1000


def groups_of_jobs() -> set[str]:
    """Ids of the placement groups that have their resources and were made in this Ray session: Ray Train's, and others.

    An id ends with that of the session that made it.
    """
    session = ray.get_runtime_context().get_job_id()
    made = placement_group_table()
    return {group for group, entry in made.items() if entry["state"] == "CREATED" and group.endswith(session)}


def _reason(error: Exception) -> Exception:
    """What `function` raised in the first process in which it did, if no process died; the others only lost it."""
    # What Ray Train itself finds wrong with a process is of this class, which it does not make public.
    from ray.train.v2._internal.exceptions import RayTrainError

    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    deaths = [
        rank for rank, failure in failures.items() if isinstance(failure, RayTrainError | ray.exceptions.RayError)
    ]
    if failures and not deaths:
        return failures[min(failures)]
    what = f"the process of replica {deaths[0]} died" if deaths else "the processes could not be started together"
    out_of_memory = any(_for_want_of_memory(failures[rank]) for rank in deaths)
    return (OutOfMemoryError if out_of_memory else ProcessDied)(f"{what}: {error}")


def _for_want_of_memory(death: Exception) -> bool:
    """Whether Ray's memory monitor killed the process; Ray Train wraps what it hears of that."""
    return isinstance(getattr(death, "health_check_failure", death), ray.exceptions.OutOfMemoryError)
