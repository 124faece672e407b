"""A real browser to look at a page with: headless Chromium, spoken to in its DevTools protocol through a pipe."""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESK = (375, 800), (1100, 900)


class Browser:
    """One open tab."""

    def __init__(self, to_chromium: int, from_chromium: int) -> None:
        self._writes, self._reads = os.fdopen(to_chromium, "wb"), os.fdopen(from_chromium, "rb")
        self._said, self._session, self._count = b"", None, 0
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command's result; events that come before it are kept."""
        self._count += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._count, "method": method, "params": params, **session}
        self._writes.write(json.dumps(message).encode() + b"\0")
        self._writes.flush()
        while (answer := self._next()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Load a page anew and wait until it is whole."""
        width, height = size
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression in the page, promises awaited."""
        done = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """What is on screen, as PNG."""
        path.write_bytes(b64decode(self.send("Page.captureScreenshot")["data"]))

    def print(self, path: Path) -> None:
        """The page on paper, as PDF."""
        path.write_bytes(b64decode(self.send("Page.printToPDF")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._said:
            chunk = os.read(self._reads.fileno(), 1 << 16)
            assert chunk, "Chromium has gone"
            self._said += chunk
        message, _, self._said = self._said.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, ended in the end."""
    theirs, ours = os.pipe()
    read, write = os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    # Chromium reads commands from descriptor 3 and answers on 4.
    command = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{write}', "chromium", str(CHROMIUM), *options, "about:blank"]
    process = subprocess.Popen(command, pass_fds=(theirs, write), stderr=subprocess.DEVNULL)
    os.close(theirs)
    os.close(write)
    tab = None
    try:
        tab = Browser(ours, read)
        yield tab
    finally:
        process.terminate()
        process.wait(timeout=20)
        if tab:
            tab._writes.close()
            tab._reads.close()
