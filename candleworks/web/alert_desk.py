"""`POST /alerts/NUMBER/acknowledge`, `silence` and `unsilence`: what the quality page may change.

docs/decisions/0045-actions-on-the-page.md says who is let in. Every answer is JSON, and nothing changes by GET.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from candleworks.candles.reads import CandleReader
from candleworks.errors import UsageError
from candleworks.storage.alerts import (
    AlertRow,
    acknowledge,
    changing_alerts,
    may_change_alerts,
    silence,
    unsilence,
)
from candleworks.times import future_time
from candleworks.web.openapi import answers
from candleworks.web.parameters import BadParameterError
from candleworks.web.responses import iso, json_answer

ACTIONS = ("acknowledge", "silence", "unsilence")
PERSON = "chart page"  # whom the history of an alert names
TOKEN_HEADER = "X-Candleworks-Token"  # noqa: S105 - the name of a header
MAX_BODY_BYTES = 2_000
MAX_REASON_LENGTH = 200
MAX_NUMBER = 2**63 - 1
_ANSWER = answers("application/json", {"id": 1, "status": "silenced", "silenced_until": "2026-03-02T18:30:00Z"})
_REQUEST: dict[str, Any] = {
    "requestBody": {
        "description": "Only to silence an alert: until when, a time or a duration such as 4h, and why.",
        "content": {"application/json": {"example": {"until": "4h", "reason": "the vendor is informed"}}},
    }
}

_log = logging.getLogger(__name__)


class ForeignRequestError(Exception):
    """A change was not requested by a page of this server."""


class Silencing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to silence an alert; `until` is a time or a duration such as 4h."""

    until: str
    reason: str


class AlertDesk:
    """Changes alerts for pages of this server: they have its token, which is another one after every start."""

    def __init__(self, dsn: str, *, enabled: bool) -> None:
        self._dsn = dsn
        self._enabled = enabled
        self._token = secrets.token_urlsafe(24)

    def token_for(self, market: CandleReader) -> str | None:
        """Return what a page needs to change alerts; None: it may not, and shows no buttons."""
        return self._token if self._enabled and market.read(may_change_alerts) else None

    def require_own_page(self, headers: Mapping[str, str]) -> None:
        """Raise ForeignRequestError unless a page of this server sent the request."""
        if not self._enabled:
            raise ForeignRequestError("Alerts cannot be changed here: start `candleworks serve` with --actions.")
        origin = urlsplit(headers.get("origin", ""))
        if origin.netloc != headers.get("host") or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise ForeignRequestError("Alerts can only be changed from this server's own pages: open /quality.")
        if not secrets.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            raise ForeignRequestError("The page was loaded before the server was started: load it again.")

    def change(self, number: int, action: str, body: bytes) -> AlertRow:
        """Change an alert; UsageError when it is not open, BadParameterError for an invalid body."""
        with changing_alerts(self._dsn, "serve alerts") as connection:
            if action == "silence":
                wanted = _read_silencing(body)
                return silence(connection, number, future_time(wanted.until), wanted.reason, PERSON)
            return (acknowledge if action == "acknowledge" else unsilence)(connection, number, PERSON)


def alert_routes(desk: AlertDesk) -> APIRouter:
    router = APIRouter()

    @router.post("/alerts/{number:int}/{action}", responses=_ANSWER, openapi_extra=_REQUEST)
    async def change_alert(
        number: Annotated[int, Path(description="Number of an alert.", examples=[1])],
        action: Annotated[str, Path(description="acknowledge, silence or unsilence.", examples=["silence"])],
        request: Request,
    ) -> Response:
        """Change an alert. Only pages of this server may."""
        desk.require_own_page(request.headers)
        if number > MAX_NUMBER:
            raise BadParameterError("number", number, f"the number of an alert, up to {MAX_NUMBER}")
        if action not in ACTIONS:
            raise BadParameterError("action", action, f"one of {', '.join(ACTIONS)}")
        alert = await run_in_threadpool(desk.change, number, action, await _read_body(request))
        _log.info("Alert %d (%s, %s): %s on the chart page.", number, alert["check"], alert["subject"], action)
        return json_answer({"id": number, "status": alert["status"], "silenced_until": iso(alert["silenced_until"])})

    return router


async def _read_body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise BadParameterError("body", f"longer than {MAX_BODY_BYTES} bytes", "a shorter one")
    return body


def _read_silencing(body: bytes) -> Silencing:
    try:
        wanted = msgspec.json.decode(body, type=Silencing)
    except msgspec.DecodeError as error:
        raise BadParameterError("body", body.decode(errors="replace"), f"until and reason ({error})") from None
    reason = " ".join(wanted.reason.split())
    if not (0 < len(reason) <= MAX_REASON_LENGTH and reason.isprintable()):
        raise BadParameterError("reason", reason, f"1 to {MAX_REASON_LENGTH} printable characters")
    try:
        future_time(wanted.until)
    except UsageError:
        raise BadParameterError("until", wanted.until, "a time, or a duration such as 4h or 7d") from None
    return Silencing(wanted.until, reason)
