"""The environment variables of a process that does runs: chosen here, whatever its user or node has set.

A variable of a framework or of a numeric library may change what a run computes, and no record would show it. So all
of them are dropped, but for those that say which devices and networks there are, and those that a run pins itself.
"""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from runners.core.frameworks import FRAMEWORKS

# How the names of the frameworks' own variables begin, and of the numeric libraries' below them.
FAMILIES = (
    *(prefix for framework in FRAMEWORKS.values() for prefix in framework.variables),
    *("JAX_", "XLA_", "MKL_", "DNNL_", "ONEDNN_", "OMP_", "GOMP_", "KMP_", "LRU_CACHE_CAPACITY"),
    *("CUBLAS", "CUDNN_", "CUDA_", "NVIDIA_TF32_OVERRIDE", "NCCL_", "GLOO_", "NUMEXPR_"),
)
# Which devices, networks and installations there are: a run needs them, and they decide no result.
ALLOWED = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH", "CUDA_VERSION"),
    *("NCCL_SOCKET_", "NCCL_IB_", "NCCL_NET", "NCCL_P2P_", "NCCL_SHM_", "GLOO_SOCKET_"),
)
# Of no framework, and read before any of our code: they stay, and the record tells them.
TOLD = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_", "OPENBLAS_")
# Where a process that another program makes finds what it must have at its start, as JSON.
ENVIRONMENT_VARIABLE = "LEVEL_FIELD_ENVIRONMENT"


def _drop_own_settings(kept: Collection[str] = ()) -> None:
    """Take from this process the frameworks' own variables, but for those named in `kept`."""
    for name in [name for name in os.environ if name.startswith(FAMILIES) and not name.startswith(ALLOWED)]:
        if name not in kept:
            del os.environ[name]


def set_environment(pinned: dict[str, str], kept: Collection[str] = ()) -> None:
    """Give this process its run's environment: variables `pinned` are set, those named in `kept` stay as they are.

    A framework must be imported after this: most read their variables at import.
    """
    _drop_own_settings(kept)
    os.environ.update(pinned)


def set_environment_from_variable() -> None:
    """`set_environment`, where others import the framework first: the variables come in ENVIRONMENT_VARIABLE."""
    set_environment(json.loads(os.environ[ENVIRONMENT_VARIABLE]))


@contextmanager
def without_own_settings() -> Iterator[None]:
    """Within the context, processes that are started inherit none of the frameworks' own variables.

    Whatever is changed within it is as before after it.
    """
    before = dict(os.environ)
    _drop_own_settings()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def settings_left() -> dict[str, str]:
    """The variables of devices, networks and libraries that this process was left with, for the record.

    Those that it pins itself are part of the code; a framework may have set others for itself since.
    """
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith((*ALLOWED, *TOLD))}
