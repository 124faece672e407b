"""The same memory policy for both sides of a matched run."""

import ctypes

# From glibc's malloc.h; the mmap threshold can be no higher than 32 MiB.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 1 << 30, 32 << 20


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed for the next step; returns whether it was asked to (glibc only).

    Left alone, glibc gives a step's buffers back to the kernel and faults them in again at the next step, or does not,
    by luck of the heap's layout: the same loop then takes half as long again. TensorFlow keeps its own buffers.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES) and mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES))
