"""A client of Server-Sent Events that keeps what it reads."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.web.browser import until

PATIENCE_SECONDS = 20


class Received(NamedTuple):
    name: str
    data: dict[str, Any]
    id: str | None


class EventReader:
    """Reads a stream in a thread."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.events: list[Received] = []
        self.comments: list[str] = []
        self.retry: str | None = None
        self.last_id: str | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, expected: Callable[[], Any], what: str) -> Any:
        return until(expected, PATIENCE_SECONDS, f"{what}; {self.events[-3:]}")

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event.data for event in list(self.events) if event.name == name]

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.response.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                else:
                    self._dispatch(fields)
                    fields = {}
        except httpx.HTTPError:
            pass
        finally:
            self.ended.set()

    def _dispatch(self, fields: dict[str, str]) -> None:
        self.retry = fields.get("retry", self.retry)
        self.last_id = fields.get("id", self.last_id)
        if "" in fields:
            self.comments.append(fields[""])
        if "data" in fields:
            self.events.append(Received(fields["event"], json.loads(fields["data"]), fields.get("id")))


@contextmanager
def streaming(url: str, headers: dict[str, str] | None = None, **parameters: object) -> Iterator[EventReader]:
    """Follow `/stream` of a server for as long as the context lasts."""
    query = {name: str(value) for name, value in parameters.items()}
    with (
        httpx.Client(timeout=httpx.Timeout(10, read=None)) as client,
        client.stream("GET", f"{url}stream", params=query, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        yield EventReader(response)
