from typing import Any

import pytest

from lenet import data
from runners.core.runner import load_inspector, load_runner
from runners.core.spec import RunSpec


@pytest.fixture(scope="session")
def fashion_mnist():
    return data.load()


@pytest.fixture(scope="session")
def keras_runner():
    """Set up as for a matched run on one thread; TensorFlow takes these settings only once in a process."""
    runner: Any = load_runner("keras", "matched")
    runner.configure(RunSpec(contender="keras"))
    return runner


@pytest.fixture(scope="session")
def keras_inspector(keras_runner):
    return load_inspector("keras", "matched")


@pytest.fixture
def torch_inspector(torch_runner):
    return load_inspector("torch", "matched")


@pytest.fixture
def torch_runner():
    """Set up as for a matched run on one thread; flushed denormals would disturb Hypothesis elsewhere."""
    runner: Any = load_runner("torch", "matched")
    import torch

    threads = torch.get_num_threads()
    runner.configure(RunSpec(contender="torch"))
    yield runner
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
