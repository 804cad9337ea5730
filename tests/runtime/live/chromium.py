"""Drive headless Chromium by its DevTools protocol: enough to load a page, act and look."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """A browser with one page. A context manager.

    Args:
        folder: for its profile.
        options: further options of its command line.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        assert PROGRAM is not None
        self._log = (folder / "chromium.log").open("wb")
        line = [
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}",
            "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            "--disable-background-networking", "--disable-component-update", *options,
            "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(line, stderr=self._log, stdout=self._log)
        self._number = 0
        self.console: list[str] = []
        self._open = ExitStack()
        try:
            self._socket = self._open.enter_context(connect(_find_page(folder), max_size=None))
            for domain in ("Page", "Runtime", "Log", "DOM"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        self._open.close()
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call of the protocol; what the page logs meanwhile is kept in `console`."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=120))
            if told.get("id") == self._number:
                assert "error" not in told, told["error"]
                return dict(told["result"])
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        given = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(given["exceptionDetails"])[:2000])
        if told.get("method") == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.console.append(given["entry"]["text"])
        if told.get("method") == "Runtime.consoleAPICalled" and given["type"] == "error":
            self.console.append(json.dumps(given["args"])[:2000])

    def go(self, address: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        made = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> Any:
        """Wait until an expression is true."""
        return wait_until(lambda: self.run(script), seconds, lambda: f"{script}: {self.console}")

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Choose files in an input of type file."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def press(self, key: str) -> None:
        """Press a key."""
        code = {"Enter": 13, "Tab": 9, "ArrowRight": 39}.get(key, ord(key[0]))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )  # fmt: skip

    def look(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        """Write a screenshot of the whole page at a size of the window."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        time.sleep(0.5)
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(made["data"]))


def _find_page(folder: Path) -> str:
    """The address at which the browser's page is driven; it takes a while after the start."""
    port_file = folder / "profile" / "DevToolsActivePort"

    def ask() -> str | None:
        if not port_file.exists() or "\n" not in port_file.read_text():
            return None
        port = port_file.read_text().splitlines()[0]
        with urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        return pages[0]["webSocketDebuggerUrl"] if pages else None

    return str(wait_until(ask, 60))


def wait_until(ask: Any, seconds: float, words: Any = str) -> Any:
    """Ask until the answer is true."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, words()
        time.sleep(0.05)
    return answer
