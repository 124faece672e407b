"""Kill processes of studies at random, of every kind, and check after each kill that nothing recorded is lost.

`python -m tests.storm --kills 1000` prints how studies took the death of each kind of process. The runs are stubs; the
driver, Ray and the results folder are real.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from runners.core import store
from runners.core.errors import GOES_ON
from runners.core.study import run_specs
from tests.helpers.processes import environment, wait_until_gone
from tests.storm_study import PLAN

LONGEST_PAUSE_SECONDS = 1.5  # between kills of what a study goes on without
LONGEST_START_SECONDS = 15.0  # until a new driver's first
SHARE_IN_FULL_SWING = 0.8  # of drivers: they are left alone until runs go on
GIVEN_UP_AFTER_SECONDS = 7.0  # at most, where a study cannot go on
ENDS_WITHIN_SECONDS = 90.0
LAST_WORDS_WITHIN_SECONDS = 0.5  # they are said once it has ended
GONE_WITHIN_SECONDS = 15.0  # all that a driver has started, once it has ended
# How the kind of a process shows in its command line; the first that fits counts.
KINDS = {
    "gcs_server": "GCS",
    "raylet/raylet": "raylet",
    "ray::torch-": "run",
    "ray::_Mailbox": "mailbox",
    "ray::_versions": "check of versions",
    "ray::IDLE": "idle worker",
    "ray::DashboardAgent": "dashboard agent",
    "ray::RuntimeEnvAgent": "runtime environment agent",
    "dashboard/dashboard.py": "dashboard",
    "log_monitor.py": "log monitor",
    "monitor.py": "autoscaler monitor",
    "ray.util.client.server": "client server",
    "tests.storm_study": "driver",
}
ENDS_A_STUDY = ("GCS", "raylet", "dashboard agent", "runtime environment agent", "driver")
Tally = Counter[tuple[str, str]]  # of what was killed, and what the study did then


@dataclass
class Driver:
    """A driver that does the folder's study, what it says, and whatever it has started."""

    folder: Path
    seen: set[psutil.Process] = field(default_factory=set)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "tests.storm_study", str(self.folder)]
        self.output = self.folder.parent / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment())

    def living(self) -> dict[str, list[psutil.Process]]:
        """Its processes, by kind."""
        with suppress(psutil.NoSuchProcess):
            driver = psutil.Process(self.process.pid)
            processes = [driver, *driver.children(recursive=True)]
            self.seen.update(processes)
            return _by_kind(processes)
        return {}

    def wait_for_runs(self) -> None:
        """Wait until one of its runs has had an epoch, or it has ended."""
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while "  epoch " not in self.output.read_text() and self.process.poll() is None:
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def check_end(self) -> str:
        """How it ended: in a way that is allowed, and with nothing left behind."""
        code = self.process.wait(ENDS_WITHIN_SECONDS)
        left = wait_until_gone([*self.seen], GONE_WITHIN_SECONDS)
        time.sleep(LAST_WORDS_WITHIN_SECONDS)
        said = self.output.read_text()
        assert "Traceback" not in said, said
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) <= 1, said
        allowed = {0: "", -signal.SIGKILL: "killed itself"}
        if errors and GOES_ON in errors[0]:
            allowed[1] = "one sentence"
        if errors and "no Ray could be started" in errors[0]:
            allowed[2] = "Ray did not start"
        if not errors and "  failed" in said:
            allowed[1] = "runs failed"
        assert code in allowed, (code, said)
        assert left == [], (left, said)
        return f"ended: {allowed[code]}" if code else "completed"


def _by_kind(processes: list[psutil.Process]) -> dict[str, list[psutil.Process]]:
    kinds: dict[str, list[psutil.Process]] = {}
    for process in processes:
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if line:  # else it is a zombie
                kind = next((kind for part, kind in KINDS.items() if part in line), process.name())
                kinds.setdefault(kind, []).append(process)
    return kinds


def storm(kills: int, seed: int, folder: Path) -> Tally:
    """Kill so many processes of studies in the folder; raises AssertionError if anything recorded changes or is lost.

    Returns how many of each kind there were, by what the study did then. The last study is completed undisturbed.
    """
    choice, tally = random.Random(seed), Tally()
    number, driver = 0, None
    recorded: dict[Path, bytes] = {}
    killed = ""  # what was killed last
    while driver or sum(tally.values()) < kills:
        study = folder / str(number) / "results"
        if driver is None:
            study.parent.mkdir(exist_ok=True)
            driver, killed = Driver(study), ""
            pause = choice.uniform(0, LONGEST_START_SECONDS)
            if choice.random() < SHARE_IN_FULL_SWING:
                driver.wait_for_runs()
                pause = choice.uniform(0, LONGEST_PAUSE_SECONDS)
        with suppress(subprocess.TimeoutExpired):
            disturbed = sum(tally.values()) + bool(killed) < kills
            driver.process.wait(pause if disturbed else ENDS_WITHIN_SECONDS)
        recorded = checked(study, recorded)
        if driver.process.poll() is not None:
            ending = driver.check_end()
            tally[killed or "nothing", ending] += bool(killed)
            if ending == "completed":
                assert len(recorded) == len(run_specs(PLAN))
                number, recorded = number + 1, {}
            driver = None
        elif disturbed:
            tally[killed, "goes on"] += bool(killed)
            living = driver.living()
            if living:
                killed = choice.choice(sorted(living))
                ends = killed in ENDS_A_STUDY  # then wait until it has
                pause = GIVEN_UP_AFTER_SECONDS if ends else choice.uniform(0, LONGEST_PAUSE_SECONDS)
                with suppress(psutil.NoSuchProcess):
                    choice.choice(living[killed]).kill()
    return +tally


def checked(study: Path, before: dict[Path, bytes]) -> dict[Path, bytes]:
    """The study's records by their files, all whole, and those of completed runs unchanged since `before`."""
    if not (study / store.STUDY).exists():
        assert not before
        return before
    _, unreadable = store.read_records(study, store.existing_study(study))
    assert unreadable == []
    now = {path: path.read_bytes() for path in (study / store.RUNS).glob("*.json")}
    changed = [path for path, content in before.items() if now.get(path) != content]
    assert all(b'"status":"failed"' in before[path].replace(b" ", b"") for path in changed), changed
    return now


def table(tally: Tally) -> str:
    """The tally as lines of text, a line a kind."""
    endings = sorted({ending for _, ending in tally})
    rows = [["killed", *endings, "all"]]
    for kind in sorted({kind for kind, _ in tally}):
        counts = [tally[kind, ending] for ending in endings]
        rows.append([kind, *map(str, counts), str(sum(counts))])
    return "\n".join("".join(cell.ljust(26) for cell in row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        tally = storm(options.kills, options.seed, Path(folder))
    print(table(tally))
    print(f"{sum(tally.values())} kills in {time.monotonic() - begun:.0f} s; nothing recorded was lost")


if __name__ == "__main__":
    main()
