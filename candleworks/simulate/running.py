"""Running a simulator: in a thread, in a process of its own, or until a stop signal."""

import asyncio
import json
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any, Final
from urllib.parse import urlencode

from candleworks.errors import CandleworksError, TransientError
from candleworks.processes import on_stop_signal
from candleworks.simulate.server import CONTROL_PREFIX, FEED_PATH, SimulatorOptions, run_simulator

_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True)
class RunningSimulator:
    host: str
    port: int

    @property
    def feed_url(self) -> str:
        """Without the key, as in CANDLEWORKS_FEED_URL."""
        return f"ws://{self.host}:{self.port}{FEED_PATH}"

    @property
    def rest_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def stats(self) -> dict[str, Any]:
        """Return the counts of SimulatorServer.stats()."""
        return self._control("stats")

    def send(self, text: str, *, repeat: int = 1) -> int:
        """Send this, `repeat` times in one text frame, to every client; return the number of clients."""
        return int(self._control("send", text=text, repeat=str(repeat))["clients"])

    def close_clients(self, code: int = 1001, reason: str = "") -> int:
        """Close every connection with the websocket's closing handshake."""
        return int(self._control("close", code=str(code), reason=reason)["clients"])

    def drop_clients(self) -> int:
        """End every TCP connection without a closing handshake."""
        return int(self._control("drop")["clients"])

    def fail_bars(self, status: int, message: str = "Something went wrong", **options: object) -> None:
        """Respond to the next request for bars, or the next `times`, with an error.

        `in_body` puts it into a response with status 200, `retry_after` adds the header, `symbol` selects requests. A
        status of 200 without `in_body` responds with the message instead of JSON.
        """
        query = {name: str(int(value) if isinstance(value, bool) else value) for name, value in options.items()}
        self._control("fail", status=str(status), message=message, **query)

    def _control(self, name: str, **query: str) -> dict[str, Any]:
        connection = HTTPConnection(self.host, self.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", f"{CONTROL_PREFIX}{name}?{urlencode(query)}")
            response = connection.getresponse()
            body: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise CandleworksError(f"the simulator refused {name} with {query}: {body['message']}")
        return body


@contextmanager
def running_simulator(
    options: SimulatorOptions | None = None, *, process: bool = False, **changes: Any
) -> Iterator[RunningSimulator]:
    """Run a simulator for a `with` block, by default on a free port and in a thread of this process.

    `changes` are fields of SimulatorOptions. `process` gives it an interpreter of its own, so that its work does not
    slow down what is measured; the calling script then needs the usual `if __name__ == "__main__"`.
    """
    if "symbols" in changes:
        changes["symbols"] = tuple(changes["symbols"])
    chosen = replace(options or SimulatorOptions(port=0), **changes)
    with _in_process(chosen) if process else _in_thread(chosen) as port:
        yield RunningSimulator(chosen.host, port)


async def serve_until_stopped(
    options: SimulatorOptions, *, ready: Callable[[int], None], duration_seconds: float | None = None
) -> None:
    """Serve until a stop signal comes or the duration has passed. Only in the main thread."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    if duration_seconds is not None:
        asyncio.get_running_loop().call_later(duration_seconds, stop.set)
    await run_simulator(options, stop=stop, ready=ready)


@contextmanager
def _in_thread(options: SimulatorOptions) -> Iterator[int]:
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await run_simulator(options, stop=stop, ready=lambda port: started.set_result((port, loop, stop)))

    def run() -> None:
        try:
            asyncio.run(serve())
        except CandleworksError as error:
            started.set_exception(error)

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    port, loop, stop = started.result(_TIMEOUT_SECONDS)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_TIMEOUT_SECONDS)


@contextmanager
def _in_process(options: SimulatorOptions) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve_in_child, args=(options, there), name="simulator", daemon=True)
    child.start()
    try:
        yield _port_of_child(here)
    finally:
        child.terminate()
        child.join(_TIMEOUT_SECONDS)


def _port_of_child(pipe: Connection) -> int:
    if not pipe.poll(_TIMEOUT_SECONDS):
        raise TransientError(f"the simulator's process did not start within {_TIMEOUT_SECONDS} s: try again")
    answer = pipe.recv()
    if isinstance(answer, CandleworksError):
        raise answer
    return int(answer)


def _serve_in_child(options: SimulatorOptions, pipe: Connection) -> None:
    try:
        asyncio.run(serve_until_stopped(options, ready=pipe.send))
    except CandleworksError as error:
        pipe.send(error)
