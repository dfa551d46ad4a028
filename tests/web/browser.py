"""Headless Chromium, driven through the DevTools protocol."""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_SECONDS = 30
_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def chromium() -> str | None:
    """Return the path of an installed Chromium."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One tab. Console messages, failed requests and every address asked for are kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._events: deque[dict[str, Any]] = deque()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(PATIENCE_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message.get('error')}"
                return dict(message["result"])
            self._keep(message)

    def goto(self, url: str) -> None:
        self._events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return the JSON value of a JavaScript expression, awaiting a promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Poll until the expression is truthy and return its value; AssertionError when it never is."""
        return until(lambda: self.evaluate(expression), seconds, expression)

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent.trim()"))

    def move(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Press the left button in the middle of an element."""
        box = self.box(selector)
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        self.move(**place)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def drag(self, start: tuple[float, float], stop: tuple[float, float], steps: int = 20) -> None:
        self.call("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, x=start[0], y=start[1])
        for step in range(1, steps + 1):
            x, y = (start[axis] + (stop[axis] - start[axis]) * step / steps for axis in (0, 1))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, x=stop[0], y=stop[1])

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key, named as in KeyboardEvent.key, with its Windows key code and the text that it writes."""
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def box(self, selector: str) -> dict[str, float]:
        """Return x, y, width and height of an element in the window."""
        found = self.evaluate(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        return dict(found)

    def resize(self, width: int, height: int, *, scale: float = 1) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def prefer(self, scheme: str) -> None:
        """Make the system's theme `dark` or `light`."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path | None = None) -> bytes:
        """Return a PNG of the window, and write it where a path is given."""
        image = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(image)
        return image

    def settle(self) -> None:
        """Read what the browser reported until now."""
        self.evaluate("new Promise((done) => setTimeout(done, 100))")

    def _keep(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                self.console.append(f"{parameters['type']}: {[arg.get('value') for arg in parameters['args']]}")
            case "Runtime.exceptionThrown":
                self.console.append(f"exception: {parameters['exceptionDetails']}")
            case "Log.entryAdded":
                self.console.append(f"{parameters['entry']['level']}: {parameters['entry']['text']}")
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])


class Browser:
    """A Chromium process with a profile of its own; use it as a context manager."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        directory = tempfile.TemporaryDirectory(prefix="candleworks-chromium-", ignore_cleanup_errors=True)
        profile = Path(self._stack.enter_context(directory))
        process = subprocess.Popen(
            [self._program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(_end, process)
        port_file = profile / "DevToolsActivePort"
        lines = until(lambda: port_file.exists() and port_file.read_text().split(), PATIENCE_SECONDS, "Chromium's port")
        self._address = f"ws://127.0.0.1:{lines[0]}"
        self._control = self._stack.enter_context(connect(f"{self._address}{lines[1]}", max_size=None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def page(self, width: int = 1280, height: int = 720) -> Iterator[Page]:
        """Open a tab with a window of that size."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        with connect(f"{self._address}/devtools/page/{target}", max_size=None, compression=None) as socket:
            page = Page(socket)
            page.resize(width, height)
            yield page
        self._call("Target.closeTarget", targetId=target)

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._control.send(json.dumps({"id": 1, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._control.recv(PATIENCE_SECONDS))
            if message.get("id") == 1:
                return dict(message["result"])


def until(probe: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until the probe answers something truthy and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
