"""Steps that allocate and free megabytes stop faulting them in again once freed memory is kept."""

import subprocess
import sys

import pytest

# Two buffers of 8 MiB freed at the top of the heap, as a training step's are: glibc trims them by default.
STEPS = """
import ctypes, resource, sys
from runners.core.memory import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step():
    buffers = [libc.malloc(8 << 20) for _ in range(2)]
    for buffer in buffers:
        ctypes.memset(buffer, 1, 8 << 20)
    for buffer in buffers:
        libc.free(buffer)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(choice: str) -> int:
    done = subprocess.run([sys.executable, "-c", STEPS, choice], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the policy is glibc's")
def test_freed_memory_is_kept_and_by_default_is_not() -> None:
    assert faults("keep") < 500
    assert faults("default") > 20_000
