"""One websocket connection to Twelve Data, or to whatever speaks its protocol."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from picows.websockets.asyncio.client import ClientConnection
from picows.websockets.exceptions import ConnectionClosed

from candleworks import clock
from candleworks.errors import CandleworksError, TransientError
from candleworks.feed.api_key import ApiKey
from candleworks.feed.queue import FeedQueue
from candleworks.feed.subscriptions import Subscriptions, SymbolRequest
from candleworks.feed.wire import cause_of, open_connection
from candleworks.model.gaps import Reason
from candleworks.vendor import protocol

RETRY_REFUSED_SECONDS = 900
SHORT_PAUSE_SECONDS = 1  # what the buffers of the socket and the vendor hold
# Twelve Data writes keys in this order without spaces. Frames that start otherwise are decoded one by one.
_PRICE_PREFIX = b'{"event":"price"'

log = logging.getLogger(__name__)


class ConnectionEndedError(TransientError):
    """The connection ended; `reason` is that of the gap which begins."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ConnectionListener:
    """Called when something other than a price frame happens on the connection."""

    subscribed: Callable[[list[str]], None]  # the vendor streams these symbols
    refused: Callable[[str, str], None]  # the vendor does not stream this symbol, for that reason
    alive: Callable[[], None]  # something other than a tick arrived
    reading_paused: Callable[[], None]  # the connection has not been read for more than SHORT_PAUSE_SECONDS


class FeedConnection:
    """Reads the price frames of the subscribed symbols into a queue until the connection ends."""

    def __init__(
        self,
        key: ApiKey,
        subscriptions: Subscriptions,
        queue: FeedQueue,
        listener: ConnectionListener,
    ) -> None:
        self.feed = key.feed
        self.key = key
        self._subscriptions = subscriptions
        self._queue = queue
        self._listener = listener
        self._connection: ClientConnection | None = None
        self._close_reason: Reason | None = None
        self._streaming: set[str] = set()

    async def run(self) -> None:
        """Stream until the connection ends.

        Raises ConnectionEndedError at its end, another TransientError when it cannot be made, and TerminalError when
        another attempt cannot succeed.
        """
        self._close_reason = None
        connection = self._connection = await open_connection(self.key)
        try:
            async with connection:
                await self._stream(connection)
        except CandleworksError:
            raise
        except ConnectionClosed as error:
            in_order = error.rcvd is not None and error.rcvd.code in (1000, 1001)
            raise self._ended(cause_of(error), "closed" if in_order else "dropped") from None
        except Exception as error:
            log.debug("Feed %s: the connection failed.", self.feed, exc_info=True)
            raise self._ended(f"{type(error).__name__}: {error}", "dropped") from error
        finally:
            self._connection = None

    def _ended(self, cause: str, reason: Reason) -> ConnectionEndedError:
        """Return the end of the connection; why we closed it ourselves comes before what happened on the wire."""
        return ConnectionEndedError(
            f"Feed {self.feed}: the connection to {self.key.url} ended ({self._close_reason or cause}).",
            self._close_reason or reason,
        )

    async def close(self, reason: Reason | None = None) -> None:
        """Close the connection, if there is one; `run` still reads everything that the vendor sent before it agreed."""
        self._close_reason = reason
        if self._connection is not None:
            await self._connection.close()

    async def subscribe(self, names: Sequence[str]) -> None:
        """Subscribe to symbols of the feed on the open connection, if there is one."""
        await self._send("subscribe", self._subscriptions.requests(names))

    async def unsubscribe(self, symbols: Sequence[SymbolRequest]) -> None:
        """Unsubscribe on the open connection, if there is one."""
        await self._send("unsubscribe", symbols)

    async def _send(self, action: protocol.Action, symbols: Sequence[SymbolRequest]) -> None:
        if self._connection is not None and symbols:
            with suppress(ConnectionClosed):  # the reader reports it
                await self._connection.send(protocol.subscription_message(action, symbols), text=True)

    async def _stream(self, connection: ClientConnection) -> None:
        self._queue.connected()
        self._streaming.clear()
        await self.subscribe(self._subscriptions.symbols)
        tasks = [asyncio.create_task(self._keep_alive(connection)), asyncio.create_task(self._retry_refused())]
        try:
            await self._read(connection)
        finally:
            for task in tasks:
                task.cancel()

    async def _read(self, connection: ClientConnection) -> None:
        queue, add, now_us = self._queue, self._queue.add, clock.now_us
        receive = cast("Callable[..., Awaitable[bytes]]", connection.recv)
        while True:  # until ConnectionClosed
            message = await receive(decode=False)  # text as bytes
            if message.startswith(_PRICE_PREFIX):
                add(message, now_us())
            else:
                self._handle_other(message)
            if queue.full:
                await self._pause()

    async def _pause(self) -> None:
        """Leave what arrives in the socket's buffers; report a pause that may last longer than these do."""
        try:
            async with asyncio.timeout(SHORT_PAUSE_SECONDS):
                await self._queue.wait_while_full()
        except TimeoutError:
            self._listener.reading_paused()
            await self._queue.wait_while_full()
            self._listener.reading_paused()  # until now

    def _handle_other(self, frame: bytes) -> None:
        self._listener.alive()
        event = protocol.event_of(frame)
        if event in ("heartbeat", "unsubscribe-status"):
            return
        if event == "subscribe-status" and (status := protocol.subscribe_status(frame)):
            self._report(status)
        elif event == "error" and (error := protocol.error_frame(frame)):
            if error.about_key:
                said = self.key.redacted("; ".join(error.sentences)) or f"code {error.code}"
                raise self.key.refused(said, said, explicit=protocol.rejects_key(frame))
            self._log_messages(error.sentences)
        else:
            # Whatever it is, the sequencer turns it into a tick or a rejection.
            self._queue.add(frame, clock.now_us())

    def _report(self, status: protocol.SubscribeStatus) -> None:
        accepted = [name for result in status.success or () if (name := self._subscriptions.accept(result))]
        self._streaming.update(accepted)
        symbols = self._subscriptions.symbols
        streaming = self._streaming.intersection(symbols)
        log.info("Feed %s streams %d of %d symbols.", self.feed, len(streaming), len(symbols))
        for result in status.fails or ():
            if name := self._subscriptions.refuse(result):
                log.warning("Feed %s: the vendor refused %s (%s).", self.feed, name, result.message)
                self._listener.refused(name, result.message)
        self._log_messages(status.messages or ())
        if accepted:
            self.key.accept()
            self._listener.subscribed(accepted)

    def _log_messages(self, messages: Sequence[str]) -> None:
        for message in messages:
            log.warning("Feed %s: message from the vendor: %r.", self.feed, message)

    async def _retry_refused(self) -> None:
        while True:
            await asyncio.sleep(RETRY_REFUSED_SECONDS)
            await self.subscribe(list(self._subscriptions.refused))

    @staticmethod
    async def _keep_alive(connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # the reader reports it
            while True:
                await asyncio.sleep(protocol.HEARTBEAT_INTERVAL_SECONDS)
                await connection.send(protocol.HEARTBEAT, text=True)
