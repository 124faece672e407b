"""How often a run was begun, kept beside the records: a driver that dies would forget its attempts otherwise."""

from contextlib import suppress
from pathlib import Path

from runners.core.events import Event, Started
from runners.core.record import RunRecord
from runners.core.store import write_atomically

FOLDER = "attempts"


class Attempts:
    """The attempts at a folder's runs, those made under drivers that died among them."""

    def __init__(self, folder: Path, again: dict[str, RunRecord]) -> None:
        """`again` holds the records of runs that are done anew, by run id: their attempts count on."""
        self._folder, self._again = folder / FOLDER, again
        self._earlier: dict[str, int] = {}
        self._here: dict[str, int] = {}

    def heard(self, event: Event) -> None:
        """Keep that a process has taken a run up."""
        if isinstance(event, Started):
            run_id = event.run_id
            earlier = self.earlier(run_id)
            self._here[run_id] = self._here.get(run_id, 0) + 1
            write_atomically(self._folder / run_id, str(earlier + self._here[run_id]).encode())

    def earlier(self, run_id: str) -> int:
        """The attempts made before this driver began."""
        if run_id not in self._earlier:
            recorded = self._again[run_id].attempts if run_id in self._again else 0
            self._earlier[run_id] = max(recorded, _kept(self._folder / run_id))
        return self._earlier[run_id]

    def ended(self, run_id: str) -> None:
        """From here on the run's record tells its attempts."""
        (self._folder / run_id).unlink(missing_ok=True)
        with suppress(OSError):  # others are not recorded yet, or it was never made
            self._folder.rmdir()


def _kept(path: Path) -> int:
    """The number in the file; a damaged one still says that the run was begun."""
    text = path.read_bytes() if path.is_file() else b"0"
    return int(text) if text.isdigit() and len(text) < 6 else 1
