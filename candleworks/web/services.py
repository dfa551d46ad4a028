"""`/services.json`: whether the linked services answer, and whether checks fail.

Nobody waits for a service: a request gets what is known, and starts a look in the background when that is too old.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from candleworks import clock
from candleworks.candles.reads import CandleReader
from candleworks.errors import CandleworksError
from candleworks.web.openapi import answers
from candleworks.web.responses import json_answer

KEPT_SECONDS = 5.0
PATIENCE_SECONDS = 1.0
QUALITY = "Quality"

State = Literal["unknown", "up", "unreachable", "failing"]

_EXAMPLE = [{"name": QUALITY, "url": "/quality", "state": "up", "detail": "No check fails."}]


class ServiceLink(NamedTuple):
    """A service with a page of its own; the path below it answers 200 while it works."""

    name: str
    url: str
    health_path: str


class ServiceState(NamedTuple):
    """`detail` is what a person should know, such as how many checks fail."""

    name: str
    url: str
    state: State
    detail: str


def service_routes(market: CandleReader, links: Sequence[ServiceLink]) -> APIRouter:
    router = APIRouter()
    states = _ServiceStates(market, links)

    @router.api_route("/services.json", methods=["GET", "HEAD"], responses=answers("application/json", _EXAMPLE))
    async def services_json() -> Response:
        """Whether the check page, Prefect and Grafana answer. The state is up, unreachable, failing or unknown."""
        return json_answer([state._asdict() for state in states.known()])

    return router


class _ServiceStates:
    def __init__(self, market: CandleReader, links: Sequence[ServiceLink]) -> None:
        self._market = market
        self._links = links
        self._looking = threading.Lock()
        self._looked_at = float("-inf")
        self._known = [ServiceState(QUALITY, "/quality", "unknown", "")]
        self._known += [ServiceState(link.name, link.url, "unknown", "") for link in links]

    def known(self) -> list[ServiceState]:
        """Return the last known states."""
        if clock.monotonic() - self._looked_at > KEPT_SECONDS and self._looking.acquire(blocking=False):
            threading.Thread(target=self._look, name="services", daemon=True).start()
        return self._known

    def _look(self) -> None:
        try:
            self._known = [self._quality(), *map(_probed, self._links)]
        finally:
            self._looked_at = clock.monotonic()
            self._looking.release()

    def _quality(self) -> ServiceState:
        try:
            results = self._market.quality()
        except CandleworksError:
            return ServiceState(QUALITY, "/quality", "unknown", "The database does not answer.")
        if not results:
            return ServiceState(QUALITY, "/quality", "unknown", "No check has run yet.")
        failing = len({result.check for result in results if result.status != "passed"})
        if failing:
            return ServiceState(QUALITY, "/quality", "failing", f"{failing} failing check{'s' if failing > 1 else ''}")
        return ServiceState(QUALITY, "/quality", "up", "No check fails.")


def _probed(link: ServiceLink) -> ServiceState:
    if _answers(link):
        return ServiceState(link.name, link.url, "up", f"{link.name} is up.")
    return ServiceState(link.name, link.url, "unreachable", f"{link.name} does not answer at {link.url}")


def _answers(link: ServiceLink) -> bool:
    """Whether the service answers in time; a redirect counts, because a login may be in front of it."""
    address = urlsplit(link.url + link.health_path)
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=PATIENCE_SECONDS)
    with suppress(OSError, HTTPException):
        try:
            connection.request("GET", address.path)
            return connection.getresponse().status < 400
        finally:
            connection.close()
    return False
