"""A real browser without a screen, Debian's Chromium, driven over a pipe by the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import cache, preflight
from testbed.shell import TestbedError

_PROGRAM = "chromium-headless-shell"
_FONTS = {"fc-list": "fontconfig"}
_FLAGS = (
    "--remote-debugging-pipe",
    "--no-sandbox",  # root has no other way, and the only page is our own
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
_LONGEST_WAIT = 60


def install() -> None:
    """Install the browser and a font where they are absent. Raises TestbedError when they cannot be had."""
    preflight.install_packages({_PROGRAM: _PROGRAM, **_FONTS})


class Page:
    """One page. What it asks for over the network is in `requests`, what it complains of in `complaints`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out = os.fdopen(to_browser, "wb", buffering=0)
        self._in = os.fdopen(from_browser, "rb")
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._loaded = False
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return what a method of the protocol answers. Raises TestbedError when it fails."""
        self._number += 1
        words: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            words["sessionId"] = self._session
        self._out.write(json.dumps(words).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise TestbedError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._in.fileno(), 2**20)
            if not part:
                raise TestbedError("the browser went away")
            self._buffer += part
        words, _, self._buffer = self._buffer.partition(b"\0")
        message = dict(json.loads(words))
        method, told = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif method == "Page.loadEventFired":
            self._loaded = True
        return message

    def begin(self) -> None:
        """Make the page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def show(self, path: Path, width: int, *, dark: bool = False, paper: bool = False) -> None:
        """Load a file into a window of that width (CSS pixels), in a theme, or as it is printed."""
        narrow = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=narrow)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, *, height: int | None = None) -> bytes:
        """Return the page as PNG: all of it, or so many CSS pixels from the top."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])

    def printed(self) -> bytes:
        """Return the page as PDF, on A4."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69}
        return base64.b64decode(self.call("Page.printToPDF", **paper)["data"])

    def end(self) -> None:
        """Close the pipe."""
        self._out.close()
        self._in.close()


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """Give a page in a browser of its own, which ends with it; `profile` is a folder for its files."""
    their_in, our_out = os.pipe()
    our_in, their_out = os.pipe()
    # the protocol wants descriptors 3 and 4; sh itself takes numbers of one digit only
    shell = f'exec "$@" 3<&{their_in} 4>&{their_out}'
    log = cache.logs() / "browser.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["bash", "-c", shell, "bash", _PROGRAM, *_FLAGS, f"--user-data-dir={profile}"]
    env = {**os.environ, "HOME": str(profile)}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, stdout=stream, env=env, pass_fds=(their_in, their_out))
    os.close(their_in)
    os.close(their_out)
    found = Page(our_out, our_in)
    try:
        found.begin()
        yield found
    finally:
        found.end()
        process.terminate()
        process.wait(_LONGEST_WAIT)
