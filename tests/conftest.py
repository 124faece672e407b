"""Rules of the whole suite: what goes side by side, and that under REQUIRE_ALL=1 nothing may be skipped."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
# Folders whose files are not done at once: those of `cluster` look for a Ray of this machine. Long ones, so first.
TOGETHER = ("scripts", "cluster", "lab")

settings.register_profile("unhurried", deadline=None)  # an example may take long beside other tests
settings.load_profile("unhurried")
# Ray's workers would give way to the other tests, at once and for as long as those last.
os.environ.update(RAY_worker_niceness="0")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay in one process, in the order given: those of a folder of TOGETHER, and of a file."""
    place = {}
    for item in items:
        file = item.path.relative_to(TESTS)
        place[item] = TOGETHER.index(file.parts[0]) if file.parts[0] in TOGETHER else len(TOGETHER)
        group = file.parts[0] if file.parts[0] in TOGETHER else str(file)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=place.__getitem__)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped under REQUIRE_ALL=1: {report.longrepr}"
    return report
