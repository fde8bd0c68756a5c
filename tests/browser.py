"""Headless Chromium as a person uses it: pages, pointer, keys, paper. It is driven over a pipe by its own protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update", "--disable-sync",
    "--disable-background-networking", "--remote-debugging-pipe", "--hide-scrollbars",
]  # fmt: skip
PATIENCE_S = 120.0
LEFT = {"button": "left", "clickCount": 1}


def chromium() -> str | None:
    """The path of Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page in a Chromium of its own, with a fresh profile."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "-", str(chromium()), *FLAGS]
    process = subprocess.Popen([*command, f"--user-data-dir={profile}"], pass_fds=(theirs_in, theirs_out),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_in, ours_out)
    finally:
        process.kill()
        process.wait()
        os.close(ours_in)
        os.close(ours_out)


class Page:
    """One tab: what it shows, what it asked the network for (`requests`), what it complained about (`complaints`)."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._in, self._out, self._rest, self._id, self._session = incoming, outgoing, b"", 0, {}
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What Chromium answers to a command of its protocol."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params, **self._session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._in, 2**20)
            assert block, "Chromium has ended"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(message)
        self._note(event.get("method"), event.get("params", {}))
        return event

    def _note(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])

    def open(self, url: str, *, width: int = 1400, height: int = 1000, dark: bool = False) -> None:
        """Load a page in a window of so many pixels, and wait until its scripts have run."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        self.settle()

    def open_without_scripts(self, url: str) -> None:
        """Load a page whose scripts do not run."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && !document.documentElement.classList.contains('script')")

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def settle(self) -> None:
        """Wait until the page has been drawn twice."""
        self.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression in the page holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.js(expression):
            assert time.monotonic() < deadline, f"never: {expression}"
            time.sleep(0.05)

    def center(self, selector: str) -> tuple[float, float]:
        """The middle of an element, which is scrolled into the window."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.js(f"{element}.scrollIntoView({{block: 'center'}})")
        box = self.js(f"{element}.getBoundingClientRect().toJSON()")
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def move(self, x: float, y: float, **button: Any) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **button)

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **LEFT)
        self.settle()

    def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        self.move(*begin)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=begin[0], y=begin[1], **LEFT)
        for step in (0.3, 0.7, 1.0):
            self.move(*(a + step * (b - a) for a, b in zip(begin, end, strict=True)), button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], **LEFT)
        self.settle()

    def press(self, key: str) -> None:
        """A key by its name: `Tab`, `Enter`, `ArrowRight`."""
        codes = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "Escape": 27, " ": 32}
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes.get(key, 0), **text)
        self.settle()

    def write(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.call("Input.insertText", text=text)
        self.settle()

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def picture(self, *, whole: bool = False) -> bytes:
        """The window as PNG, or the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"clip": {**size, "scale": 1}} if whole else {}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **clip)
        return base64.b64decode(shot["data"])
