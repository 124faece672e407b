"""The environment variables of a process that does runs: chosen here, whatever its user or node has set.

A variable of a framework or of a numeric library may change what a run computes, and no record would show it. So all
of them are dropped, but for those that say which devices and networks there are, and those that a run pins itself.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# How the names of the frameworks' and their numeric libraries' own variables begin.
FAMILIES = (
    *("KERAS_", "TF_", "TF2_", "XLA_", "TORCH_", "TORCHDYNAMO_", "TORCHINDUCTOR_", "PYTORCH_", "ATEN_", "JAX_"),
    *("MKL_", "DNNL_", "ONEDNN_", "OMP_", "GOMP_", "KMP_", "LRU_CACHE_CAPACITY"),
    *("CUBLAS", "CUDNN_", "CUDA_", "NVIDIA_TF32_OVERRIDE", "NCCL_", "GLOO_", "NUMEXPR_"),
)
# Which devices, networks and installations there are: a run needs them, and they decide no result.
ALLOWED = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH", "CUDA_VERSION"),
    *("NCCL_SOCKET_", "NCCL_IB_", "NCCL_NET", "NCCL_P2P_", "NCCL_SHM_", "GLOO_SOCKET_"),
)
# Of no framework, and read before any of our code: they stay, and the record tells them.
TOLD = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_", "OPENBLAS_")
# Keras reads keras.json in this folder, and writes it: where no folder can be, it has neither.
NO_KERAS_HOME = "/dev/null/keras"


def dropped(variables: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    """The names of the frameworks' own variables that a process with the variables `kept` must not have."""
    return [
        name for name in variables if name.startswith(FAMILIES) and not name.startswith(ALLOWED) and name not in kept
    ]


def set_environment(pinned: Mapping[str, str], kept: tuple[str, ...] = ()) -> None:
    """Give this process its run's environment: variables `pinned` are set, those named in `kept` stay as they are.

    A framework must be imported after this: most read their variables at import.
    """
    stay = {**pinned, **dict.fromkeys(kept, "")}
    for name in dropped(os.environ, stay):
        del os.environ[name]
    os.environ.update(pinned)


@contextmanager
def without_own_settings() -> Iterator[None]:
    """Within the context, processes that are started inherit none of the frameworks' own variables."""
    removed = {name: os.environ.pop(name) for name in dropped(os.environ, {})}
    try:
        yield
    finally:
        os.environ.update(removed)


def settings_left() -> dict[str, str]:
    """The variables of devices, networks and libraries that this process was left with, for the record.

    Those that it pins itself are part of the code; a framework may have set others for itself since.
    """
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith((*ALLOWED, *TOLD))}
