"""Rules of the whole suite: what goes side by side, what is left out, and that under REQUIRE_ALL=1 nothing is skipped.

`make test` leaves out the tests marked `thorough`, and ends with a line that says so.
"""

import os
import signal
from collections import Counter
from collections.abc import Generator, Sequence

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from runners.core.frameworks import FRAMEWORKS

# Folders whose files are not done at once: those of `cluster` look for a Ray of this machine, and those of `scripts`
# share one of their own.
TOGETHER = ("cluster", "scripts")
# What takes long, and so begins first: folders, and files.
FIRST = (*TOGETHER, "lab", "test_bare_driver.py", "test_storm.py")
LEFT_OUT = pytest.StashKey[dict[str, int]]()

settings.register_profile("unhurried", deadline=None)  # an example may take long beside other tests
settings.load_profile("unhurried")
# Ray's workers would give way to the other tests, at once and for as long as those last.
os.environ.update(RAY_worker_niceness="0")
# Started in the background, a shell has this process ignore Ctrl-C, and so would the scripts that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A process imports TensorFlow once: whichever test does it first, let it be as for a matched run.
os.environ.update(FRAMEWORKS["keras"].matched_environment)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first."""
    items.sort(key=lambda item: FIRST.index(name) if (name := _top(item.nodeid)) in FIRST else len(FIRST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """In several processes, tests of one file, or of one folder of TOGETHER, stay in one, in their order."""
    return _ByPlace(config, log)


class _ByPlace(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        folder = _top(nodeid)
        return folder if folder in TOGETHER else nodeid.partition("::")[0]


def _top(nodeid: str) -> str:
    """The folder or file below tests/."""
    return nodeid.removeprefix("tests/").partition("::")[0].partition("/")[0]


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the thorough tests that are left out, by file."""
    thorough = [item for item in items if item.get_closest_marker("thorough")]
    if thorough:
        config = thorough[0].config
        counts = dict(Counter(item.path.stem.removeprefix("test_").replace("_", " ") for item in thorough))
        config.stash[LEFT_OUT] = counts
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = counts


def pytest_testnodedown(node: WorkerController) -> None:
    """Take the counts over from a process that has ended; all of them have the same."""
    if left_out := getattr(node, "workeroutput", {}).get("left_out"):
        node.config.stash[LEFT_OUT] = left_out


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(LEFT_OUT, {})
    if counts:
        parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        terminalreporter.write_line(f"`make test-thorough` has {sum(counts.values())} tests beside these: {parts}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped under REQUIRE_ALL=1: {report.longrepr}"
    return report
