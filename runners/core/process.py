"""The environment variables of a process that does runs, whatever its user or node has set.

A variable of a framework or a numeric library may change what a run computes, and no record would show it. So all are
removed, except those that name devices and networks, and those that a run sets itself.
"""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from runners.core.frameworks import FRAMEWORKS

# Prefixes of the variables of the frameworks and of the numeric libraries that they use.
FAMILIES = (
    *(prefix for framework in FRAMEWORKS.values() for prefix in framework.variables),
    *("JAX_", "XLA_", "MKL_", "DNNL_", "ONEDNN_", "OMP_", "GOMP_", "KMP_", "LRU_CACHE_CAPACITY"),
    *("CUBLAS", "CUDNN_", "CUDA_", "NVIDIA_TF32_OVERRIDE", "NCCL_", "GLOO_", "NUMEXPR_"),
)
# Names of devices, networks and installations: a run needs them, and they decide no result.
ALLOWED = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH", "CUDA_VERSION"),
    *("NCCL_SOCKET_", "NCCL_IB_", "NCCL_NET", "NCCL_P2P_", "NCCL_SHM_", "GLOO_SOCKET_"),
)
# Variables of no framework, read before any of our code: they stay, and the record has them.
RECORDED = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_", "OPENBLAS_")
# Holds, as JSON, the variables for a process that another program starts.
ENVIRONMENT_VARIABLE = "LEVEL_FIELD_ENVIRONMENT"


def _drop_own_settings(kept: Collection[str] = ()) -> None:
    """Remove the frameworks' own variables from this process, except those named in `kept`."""
    for name in [name for name in os.environ if name.startswith(FAMILIES) and not name.startswith(ALLOWED)]:
        if name not in kept:
            del os.environ[name]


def set_environment(pinned: dict[str, str], kept: Collection[str] = ()) -> None:
    """Give this process its run's environment: set the variables `pinned`, leave those named in `kept`.

    A framework must be imported after this: most read their variables at import.
    """
    _drop_own_settings(kept)
    os.environ.update(pinned)


def set_environment_from_variable() -> None:
    """Call `set_environment` with the variables in ENVIRONMENT_VARIABLE, if others import the framework first."""
    set_environment(json.loads(os.environ[ENVIRONMENT_VARIABLE]))


@contextmanager
def without_own_settings() -> Iterator[None]:
    """Within the context, new processes inherit none of the frameworks' own variables.

    After it, the environment is the same as before.
    """
    before = dict(os.environ)
    _drop_own_settings()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def settings_left() -> dict[str, str]:
    """Return this process's variables of devices, networks and libraries, for the record.

    The code has the variables that it sets itself; a framework may have set others for itself since.
    """
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith((*ALLOWED, *RECORDED))}
