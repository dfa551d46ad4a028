"""Opens a websocket connection to Twelve Data, or to whatever speaks its protocol."""

import asyncio
import logging
from urllib.parse import urlencode

from picows import WSInvalidURL
from picows.url import parse_url
from picows.websockets.asyncio.client import ClientConnection, connect
from picows.websockets.exceptions import InvalidStatus

from candleworks.errors import CandleworksError, TerminalError, TransientError

MAX_FRAME_BYTES = 2**20  # the vendor's own limit
OPEN_TIMEOUT_SECONDS = 10

_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.CRITICAL)  # the one line about the end of a connection says the same


def key_rejected(feed: str, url: str, cause: str) -> TerminalError:
    """Return the error that ends a feed whose key is wrong."""
    return TerminalError(f"Feed {feed}: {url} rejected the API key ({cause}): correct TWELVEDATA_API_KEY.")


async def open_connection(feed: str, url: str, api_key: str) -> ClientConnection:
    """Return an open connection.

    Raises TerminalError when the URL is invalid or the key is wrong, TransientError for whatever else happens.
    """
    separator = "&" if "?" in url else "?"
    keyed_url = f"{url}{separator}{urlencode({'apikey': api_key})}"
    _require_valid(feed, url, keyed_url)
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
        raise _refusal(feed, url, error.response.status_code) from None
    except Exception as error:  # noqa: BLE001 - a broken answer raises anything, AssertionError and ValueError included
        reason = _reason_of(error).replace(keyed_url, url)
        raise TransientError(f"Feed {feed}: {url} cannot be reached ({reason}).") from None


def _require_valid(feed: str, url: str, keyed_url: str) -> None:
    try:
        parse_url(keyed_url)
    except (WSInvalidURL, ValueError):
        raise TerminalError(
            f"Feed {feed}: {url} is not a valid WebSocket URL: correct CANDLEWORKS_FEED_URL, for example"
            " ws://127.0.0.1:8765/v1/quotes/price."
        ) from None


def _reason_of(error: Exception) -> str:
    if isinstance(error, AssertionError):  # what picows raises then
        return "the connection was closed during the handshake"
    return str(error) or type(error).__name__


def _refusal(feed: str, url: str, status: int) -> CandleworksError:
    # The vendor rejects a wrong key with 401, and at times with a plain 200 or 400 instead of the upgrade.
    if status in (200, 400, 401, 403):
        return key_rejected(feed, url, f"HTTP {status}")
    return TransientError(f"Feed {feed}: {url} responded to the handshake with HTTP {status}.")
