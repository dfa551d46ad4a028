"""A client of the simulated feed that tests can talk through."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from candleworks.clock import monotonic
from candleworks.simulate import RunningSimulator

PATIENCE_SECONDS = 30


class FeedClient:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, message: dict[str, Any] | str) -> None:
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def text(self) -> str:
        frame = self.connection.recv(timeout=PATIENCE_SECONDS)
        assert isinstance(frame, str)
        return frame

    def event(self, *names: str) -> dict[str, Any]:
        """The next event, or the next one with one of these names; others on the way are dropped."""
        deadline = monotonic() + PATIENCE_SECONDS
        while monotonic() < deadline:
            event: dict[str, Any] = json.loads(self.text())
            if not names or event["event"] in names:
                return event
        raise TimeoutError(f"no {names} within {PATIENCE_SECONDS} s")

    def prices(self, count: int) -> list[dict[str, Any]]:
        return [self.event("price") for _ in range(count)]

    def subscribe(self, symbols: str | list[dict[str, str]]) -> dict[str, Any]:
        """Returns the acknowledgement."""
        self.say({"action": "subscribe", "params": {"symbols": symbols}})
        return self.event("subscribe-status")

    def unsubscribe(self, symbols: str) -> dict[str, Any]:
        self.say({"action": "unsubscribe", "params": {"symbols": symbols}})
        return self.event("unsubscribe-status")

    def closing(self) -> ConnectionClosed:
        """Reads on until the connection is closed; says how it was."""
        try:
            while True:
                self.text()
        except ConnectionClosed as closing:
            return closing

    def is_silent(self, seconds: float = 0.5) -> bool:
        try:
            self.connection.recv(timeout=seconds)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def join() -> Iterator[Callable[[RunningSimulator], FeedClient]]:
    """Opens connections to a simulator, and closes them when the test ends."""
    with ExitStack() as stack:

        def open_connection(simulator: RunningSimulator, key: str = "demo") -> FeedClient:
            url = f"{simulator.feed_url}?apikey={key}"
            connection = connect(url, compression=None, open_timeout=PATIENCE_SECONDS, max_queue=None)
            return FeedClient(stack.enter_context(connection))

        yield open_connection
