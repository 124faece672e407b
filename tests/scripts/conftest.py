"""One Ray for all studies here that neither kill it nor bring code of their own: starting one takes seconds."""

import os
from collections.abc import Iterator

import pytest

from tests.helpers.processes import TOKEN
from tests.helpers.rays import ray_head


@pytest.fixture(scope="session")
def ray_here() -> Iterator[str]:
    """Its address."""
    with ray_head(len(os.sched_getaffinity(0)), 0, TOKEN, hidden=True) as (address, _):
        yield address
