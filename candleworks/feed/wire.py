"""Opens a websocket connection to Twelve Data, or to whatever speaks its protocol, and says how one ended."""

import asyncio
import logging
from urllib.parse import urlencode

from picows import WSHandshakeError, WSInvalidURL
from picows.url import parse_url
from picows.websockets.asyncio.client import ClientConnection, connect
from picows.websockets.exceptions import ConnectionClosed, InvalidStatus

from candleworks.errors import CandleworksError, TerminalError, TransientError
from candleworks.feed.api_key import ApiKey
from candleworks.vendor import protocol

MAX_FRAME_BYTES = 2**20  # the vendor's own limit
OPEN_TIMEOUT_SECONDS = 10

_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.CRITICAL)  # the one line about the end of a connection says the same


async def open_connection(key: ApiKey) -> ClientConnection:
    """Return an open connection to the key's URL.

    Raises TerminalError when the URL is invalid or the key is wrong, TransientError for whatever else happens.
    """
    separator = "&" if "?" in key.url else "?"
    keyed_url = f"{key.url}{separator}{urlencode({'apikey': key.value})}"
    _require_valid(key, keyed_url)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
            return await connect(
                keyed_url,
                compression=None,
                max_size=MAX_FRAME_BYTES,
                open_timeout=None,
                close_timeout=1,
                logger=_wire_log,
            )
    except InvalidStatus as error:
        raise _refusal(key, error.response.status_code, _body_of(error)) from None
    except Exception as error:  # noqa: BLE001 - a broken answer raises anything, AssertionError and ValueError included
        reason = key.redacted(_reason_of(error))
        raise TransientError(f"Feed {key.feed}: {key.url} cannot be reached ({reason}).") from None


def _require_valid(key: ApiKey, keyed_url: str) -> None:
    try:
        parse_url(keyed_url)
    except (WSInvalidURL, ValueError):
        raise TerminalError(
            f"Feed {key.feed}: {key.url} is not a valid WebSocket URL: correct CANDLEWORKS_FEED_URL, for example"
            " ws://127.0.0.1:8765/v1/quotes/price."
        ) from None


def _reason_of(error: Exception) -> str:
    if isinstance(error, AssertionError):  # what picows raises then
        return "the connection was closed during the handshake"
    return str(error) or type(error).__name__


def _body_of(error: InvalidStatus) -> bytes:
    """Return what came of the body together with the headers; the rest is not read."""
    cause = error.__cause__
    return (cause.raw_body or b"") if isinstance(cause, WSHandshakeError) else b""


def _refusal(key: ApiKey, status: int, body: bytes) -> CandleworksError:
    words = key.first_words(body)
    observed = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    # The vendor rejects a wrong key with 401, and at times with a plain 200 or 400 instead of the upgrade.
    if status in (200, 400, 401, 403):
        return key.refused(f"HTTP {status}", observed, explicit=protocol.rejects_key(body))
    return TransientError(f"Feed {key.feed}: {key.url} responded to the handshake with {observed}.")


def cause_of(end: ConnectionClosed) -> str:
    """Say which side closed a connection, with the code of RFC 6455, 7.4; the other side only repeats it."""
    sides = [("the vendor", end.rcvd), ("candleworks", end.sent)]
    if not end.rcvd_then_sent:
        sides.reverse()
    for side, close in sides:
        if close is not None:
            return f"{side} closed it with code {int(close.code)}{f', {close.reason}' if close.reason else ''}"
    return "it was interrupted"
