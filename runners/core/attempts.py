"""How often each run was started, kept in files, so that the count survives a driver that dies."""

from contextlib import suppress
from pathlib import Path

from runners.core.events import Event, Started
from runners.core.record import RunRecord
from runners.core.store import write_atomically

FOLDER = "attempts"


class Attempts:
    """The attempts at a folder's runs, also those under drivers that died."""

    def __init__(self, folder: Path, again: dict[str, RunRecord]) -> None:
        """`again` holds, by run id, the records of runs that are repeated: their attempts are added."""
        self._folder, self._again = folder / FOLDER, again
        self._earlier: dict[str, int] = {}
        self._here: dict[str, int] = {}

    def count(self, event: Event) -> None:
        """Count an attempt if the event is a run's start."""
        if isinstance(event, Started):
            run_id = event.run_id
            earlier = self.earlier(run_id)
            self._here[run_id] = self._here.get(run_id, 0) + 1
            write_atomically(self._folder / run_id, str(earlier + self._here[run_id]).encode())

    def earlier(self, run_id: str) -> int:
        """Return the number of attempts before this driver started."""
        if run_id not in self._earlier:
            recorded = self._again[run_id].attempts if run_id in self._again else 0
            self._earlier[run_id] = max(recorded, _kept(self._folder / run_id))
        return self._earlier[run_id]

    def ended(self, run_id: str) -> None:
        """Delete the run's count: from now on its record holds it."""
        (self._folder / run_id).unlink(missing_ok=True)
        with suppress(OSError):  # other runs still have a count there, or there is no folder
            self._folder.rmdir()


def _kept(path: Path) -> int:
    """Return the number in the file, 0 without a file; a damaged file still shows one attempt."""
    text = path.read_bytes() if path.is_file() else b"0"
    return int(text) if text.isdigit() and len(text) < 6 else 1
