"""Follows `/stream` of a server, and comes back to where it was when the connection breaks.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

import httpx
import msgspec

from candleworks.errors import TransientError, UsageError
from candleworks.reader.events import StreamEvent, read_event

SILENCE_SECONDS = 45.0  # three heartbeats of the server
FIRST_RETRY_SECONDS = 2.0
MAX_RETRY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Frame(NamedTuple):
    """What comes up to an empty line; None for what does not come."""

    event: str | None
    data: str | None
    id: str | None
    retry: str | None


class _NotNowError(Exception):
    """The server refuses at present, or has sent what is no event."""


class Follower:
    """One stream of a server; `retry_seconds` is what the server asks for, `last_id` what it has sent last."""

    def __init__(self, url: str, query: Mapping[str, str]) -> None:
        self._url = url
        self._query = query
        self._began = False
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._last_id: str | None = None

    def events(self) -> Iterator[StreamEvent]:
        """Yield events for ever.

        UsageError for a request that the server refuses, TransientError where the first one does not reach it. Later,
        a connection that breaks is opened again.
        """
        failures = 0
        while True:
            try:
                for event in self._connection():
                    failures = 0
                    yield event
                reason = "the server ended it"
            except (httpx.TransportError, _NotNowError, msgspec.DecodeError) as error:
                if not self._began:
                    raise TransientError(
                        f"The stream at {self._url} cannot be followed ({error}): start `candleworks serve`, or give"
                        " the url of a server that runs."
                    ) from None
                reason = str(error)
            wait_seconds = min(self._retry_seconds * 2**failures, MAX_RETRY_SECONDS)
            failures += 1
            _log.warning(
                "The stream at %s was interrupted (%s): trying again in %.0f s.", self._url, reason, wait_seconds
            )
            time.sleep(wait_seconds)

    def _connection(self) -> Iterator[StreamEvent]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self._last_id} if self._last_id else {})}
        timeout = httpx.Timeout(10, read=SILENCE_SECONDS)
        with httpx.stream("GET", self._url, params=self._query, headers=headers, timeout=timeout) as response:
            _require_stream(response)
            self._began = True
            for frame in frames(response.iter_lines()):
                yield from self._taken(frame)

    def _taken(self, frame: Frame) -> Iterator[StreamEvent]:
        """Yield the event of a frame. Its id is remembered when the event was taken: it is sent again otherwise."""
        if frame.retry and frame.retry.isdigit():
            self._retry_seconds = int(frame.retry) / 1_000
        if frame.data is not None and (event := read_event(frame.event or "message", frame.data)) is not None:
            yield event
        if frame.id is not None:
            self._last_id = frame.id


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Yield what empty lines end; the rest of a broken connection is dropped."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if fields:
                yield Frame(*(fields.get(name) for name in Frame._fields))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value


def _require_stream(response: httpx.Response) -> None:
    if response.status_code == HTTPStatus.OK:
        return
    response.read()
    try:
        sentence = str(msgspec.json.decode(response.content)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        sentence = f"status {response.status_code}"
    if response.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
        raise UsageError(sentence)
    raise _NotNowError(sentence)
