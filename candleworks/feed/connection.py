"""One websocket connection to Twelve Data, or to whatever speaks its protocol."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from picows import WSInvalidURL
from picows.websockets.asyncio.client import ClientConnection, connect
from picows.websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from candleworks import clock
from candleworks.errors import TerminalError, TransientError, UsageError
from candleworks.feed.batcher import Batcher
from candleworks.feed.subscriptions import Roster
from candleworks.model.gaps import Reason
from candleworks.settings import VENDOR_FEED_URL, Settings
from candleworks.settings import Feed as FeedSettings
from candleworks.vendor import protocol

MAX_FRAME_BYTES = 2**20  # the vendor's own limit
OPEN_TIMEOUT_SECONDS = 10
RETRY_REFUSED_SECONDS = 900
SHORT_REST_SECONDS = 1
# Twelve Data writes keys in this order without spaces. Frames that start otherwise are looked at one by one.
_PRICE_PREFIX = b'{"event":"price"'

log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.CRITICAL)  # what it reports of a connection is in the one line about its end


class ConnectionEndedError(TransientError):
    """The connection ended; `reason` is why, in the words of the gap book."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Listener:
    """What the rest of the ingest wants to know of the connection."""

    answered: Callable[[list[str]], None]  # the vendor streams these symbols
    refused: Callable[[str, str], None]  # the vendor does not stream this symbol, for that reason
    alive: Callable[[], None]  # something other than a tick came
    slowed: Callable[[], None]  # ticks are not read for a while


class Feed:
    """Reads price frames of the roster's symbols into a batcher until the connection ends."""

    def __init__(self, name: str, url: str, api_key: str, roster: Roster, batcher: Batcher, listener: Listener) -> None:
        self.name = name
        self._url = url
        self._api_key = api_key
        self._roster = roster
        self._batcher = batcher
        self._listener = listener
        self._connection: ClientConnection | None = None
        self._given_up: Reason | None = None
        self._streaming: set[str] = set()

    async def run(self) -> None:
        """Stream until the connection ends: ConnectionEndedError; TerminalError when trying again is useless."""
        self._given_up = None
        connection = self._connection = await self._connect()
        async with connection:
            try:
                await self._stream(connection)
            except ConnectionClosed as error:
                in_order = error.rcvd is not None and error.rcvd.code in (1000, 1001)
                reason: Reason = self._given_up or ("closed" if in_order else "dropped")
                raise ConnectionEndedError(
                    f"Feed {self.name}: the connection to {self._url} ended ({self._given_up or _words(error)}).",
                    reason,
                ) from None
            finally:
                self._connection = None

    async def hang_up(self, reason: Reason | None = None) -> None:
        """Close the connection, if there is one; `run` still reads everything that the vendor sent before it agreed."""
        self._given_up = reason
        if self._connection is not None:
            await self._connection.close()

    async def ask(self, names: Sequence[str]) -> None:
        """Subscribe to symbols of the roster on the running connection, if there is one."""
        await self._send("subscribe", self._roster.requests(names))

    async def leave(self, tickers: Sequence[str | dict[str, str]]) -> None:
        """Unsubscribe on the running connection, if there is one."""
        await self._send("unsubscribe", tickers)

    async def _send(self, action: protocol.Action, symbols: Sequence[str | dict[str, str]]) -> None:
        if self._connection is not None and symbols:
            with suppress(ConnectionClosed):  # the reader reports it
                await self._connection.send(protocol.subscription(action, symbols), text=True)

    async def _connect(self) -> ClientConnection:
        separator = "&" if "?" in self._url else "?"
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                return await connect(
                    f"{self._url}{separator}{urlencode({'apikey': self._api_key})}",
                    compression=None,
                    max_size=MAX_FRAME_BYTES,
                    open_timeout=None,
                    close_timeout=1,
                    logger=_wire_log,
                )
        except InvalidStatus as error:
            status = error.response.status_code
            # The vendor answers a wrong key with 401, and at times with a plain 200 or 400 instead of the upgrade.
            if status in (200, 400, 401, 403):
                raise self._key_refused(f"HTTP {status}") from None
            raise TransientError(f"Feed {self.name}: {self._url} answered HTTP {status} to the handshake.") from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            reason = str(error) or type(error).__name__
            raise TransientError(f"Feed {self.name}: {self._url} cannot be reached ({reason}).") from None
        except (WSInvalidURL, ValueError):
            raise TerminalError(
                f"Feed {self.name}: {self._url} is not a valid WebSocket URL: correct CANDLEWORKS_FEED_URL, for example"
                " ws://127.0.0.1:8765/v1/quotes/price."
            ) from None

    def _key_refused(self, words: str) -> TerminalError:
        return TerminalError(
            f"Feed {self.name}: {self._url} refused the API key ({words}): correct TWELVEDATA_API_KEY."
        )

    async def _stream(self, connection: ClientConnection) -> None:
        self._batcher.connected()
        self._streaming.clear()
        await self.ask(self._roster.wanted)
        tasks = [asyncio.create_task(self._keep_alive(connection)), asyncio.create_task(self._retry_refused())]
        try:
            await self._read(connection)
        finally:
            for task in tasks:
                task.cancel()

    async def _read(self, connection: ClientConnection) -> None:
        batcher, add, now_us = self._batcher, self._batcher.add, clock.now_us
        receive = cast("Callable[..., Awaitable[bytes]]", connection.recv)
        while True:  # until ConnectionClosed
            message = await receive(decode=False)  # text as bytes
            if message.startswith(_PRICE_PREFIX):
                add(message, now_us())
            else:
                self._handle_other(message)
            if batcher.crowded:
                await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        """Leave what comes to the socket's buffers, and say so when that takes longer than they may last."""
        try:
            async with asyncio.timeout(SHORT_REST_SECONDS):
                await self._batcher.room()
        except TimeoutError:
            self._listener.slowed()
            await self._batcher.room()
            self._listener.slowed()  # until now

    def _handle_other(self, frame: bytes) -> None:
        self._listener.alive()
        event = protocol.event_of(frame)
        if event in ("heartbeat", "unsubscribe-status"):
            return
        if event == "subscribe-status" and (status := protocol.subscribe_status(frame)):
            self._report(status)
        elif event == "error" and (complaint := protocol.complaint(frame)):
            if complaint.about_key:
                raise self._key_refused("; ".join(complaint.sentences) or f"code {complaint.code}")
            self._pass_on(complaint.sentences)
        else:
            # Whatever it is, the sequencer turns it into a tick or a rejection.
            self._batcher.add(frame, clock.now_us())

    def _report(self, status: protocol.SubscribeStatus) -> None:
        streaming = [name for listing in status.success or () if (name := self._roster.accept(listing))]
        self._streaming.update(streaming)
        wanted = self._roster.wanted
        log.info("Feed %s streams %d of %d symbols.", self.name, len(self._streaming.intersection(wanted)), len(wanted))
        for listing in status.fails or ():
            if name := self._roster.refuse(listing):
                log.warning("Feed %s: the vendor refused %s (%s).", self.name, name, listing.message)
                self._listener.refused(name, listing.message)
        self._pass_on(status.messages or ())
        if streaming:
            self._listener.answered(streaming)

    def _pass_on(self, messages: Sequence[str]) -> None:
        for message in messages:
            log.warning("Feed %s: the vendor says %r.", self.name, message)

    async def _retry_refused(self) -> None:
        while True:
            await asyncio.sleep(RETRY_REFUSED_SECONDS)
            await self.ask(list(self._roster.refused))

    @staticmethod
    async def _keep_alive(connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # the reader reports it
            while True:
                await asyncio.sleep(protocol.HEARTBEAT_INTERVAL_SECONDS)
                await connection.send(protocol.HEARTBEAT, text=True)


def _words(end: ConnectionClosed) -> str:
    """Say which side closed a connection, with the code of RFC 6455, 7.4; the other side only repeats it."""
    sides = [("the vendor", end.rcvd), ("candleworks", end.sent)]
    if not end.rcvd_then_sent:
        sides.reverse()
    for side, close in sides:
        if close is not None:
            return f"{side} closed it with code {int(close.code)}{f', {close.reason}' if close.reason else ''}"
    return "it was cut off"


def check_key(settings: Settings, feeds: Sequence[FeedSettings]) -> None:
    """Raise UsageError when a feed is the vendor's own and there is no key for it."""
    for feed in feeds:
        if settings.api_key is None and (feed.url or settings.feed_url) == VENDOR_FEED_URL:
            raise UsageError(
                f"The feed {VENDOR_FEED_URL} wants a key: set TWELVEDATA_API_KEY, or start `candleworks simulate` and"
                " set CANDLEWORKS_FEED_URL to the address that it prints."
            )
