"""One websocket connection to Twelve Data, or to whatever speaks its protocol."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from candleworks import clock
from candleworks.errors import TerminalError, TransientError
from candleworks.ingest import protocol
from candleworks.ingest.batcher import Batcher

MAX_FRAME_BYTES = 2**20  # the vendor's own limit
OPEN_TIMEOUT_SECONDS = 10
# Twelve Data writes keys in this order without spaces. Frames that start otherwise are looked at one by one.
_PRICE_PREFIX = b'{"event":"price"'

log = logging.getLogger(__name__)


class Feed:
    """Reads price frames of `symbols` into a batcher until the connection ends."""

    def __init__(self, name: str, url: str, api_key: str, symbols: Sequence[str], batcher: Batcher) -> None:
        self.name = name
        self.refused: dict[str, str] = {}
        self._url = url
        self._api_key = api_key
        self._symbols = symbols
        self._batcher = batcher
        self._connection: ClientConnection | None = None

    async def run(self) -> None:
        """Stream until the connection ends, which raises TransientError; TerminalError when trying again is useless."""
        connection = self._connection = await self._connect()
        async with connection:
            try:
                await self._stream(connection)
            except ConnectionClosed as error:
                raise TransientError(f"Feed {self.name}: the connection to {self._url} ended ({error}).") from None
            finally:
                self._connection = None

    async def hang_up(self) -> None:
        """Close the connection, if there is one; `run` still reads everything that the vendor sent before it agreed."""
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> ClientConnection:
        separator = "&" if "?" in self._url else "?"
        try:
            return await connect(
                f"{self._url}{separator}{urlencode({'apikey': self._api_key})}",
                compression=None,
                max_size=MAX_FRAME_BYTES,
                open_timeout=OPEN_TIMEOUT_SECONDS,
                close_timeout=1,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            # The vendor answers a wrong key with 401, and at times with a plain 200 or 400 instead of the upgrade.
            if status in (200, 400, 401, 403):
                raise TerminalError(
                    f"Feed {self.name}: {self._url} refused the API key (HTTP {status}): correct TWELVEDATA_API_KEY."
                ) from None
            raise TransientError(f"Feed {self.name}: {self._url} answered HTTP {status} to the handshake.") from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise TransientError(f"Feed {self.name}: {self._url} cannot be reached ({error}).") from None
        except (InvalidURI, ValueError):
            raise TerminalError(
                f"Feed {self.name}: {self._url} is no websocket address: correct CANDLEWORKS_FEED_URL, for example"
                " ws://127.0.0.1:8765/v1/quotes/price."
            ) from None

    async def _stream(self, connection: ClientConnection) -> None:
        self._batcher.connected()
        await connection.send(protocol.subscription(self._symbols), text=True)
        heartbeat = asyncio.create_task(self._keep_alive(connection))
        try:
            await self._read(connection)
        finally:
            heartbeat.cancel()

    async def _read(self, connection: ClientConnection) -> None:
        batcher, add, now_us = self._batcher, self._batcher.add, clock.now_us
        async for message in _messages(connection):
            if message.startswith(_PRICE_PREFIX):
                add(message, now_us())
            else:
                self._handle_other(message)
            if batcher.crowded:
                await batcher.room()

    def _handle_other(self, frame: bytes) -> None:
        event = protocol.event_of(frame)
        if event == "heartbeat":
            return
        if event == "subscribe-status" and (status := protocol.subscribe_status(frame)):
            self._report(status)
        elif event == "error" and (complaint := protocol.error_event(frame)):
            self._pass_on(complaint.messages)
        else:
            # Whatever it is, the sequencer turns it into a tick or a rejection.
            self._batcher.add(frame, clock.now_us())

    def _report(self, status: protocol.SubscribeStatus) -> None:
        self.refused = {refusal.symbol: refusal.message for refusal in status.fails or ()}
        streaming = [accepted.symbol for accepted in status.success or ()]
        log.info("Feed %s streams %d of %d symbols.", self.name, len(streaming), len(self._symbols))
        for symbol, message in self.refused.items():
            log.warning("Feed %s: the vendor refused %s (%s).", self.name, symbol, message)
        self._pass_on(status.messages or ())

    def _pass_on(self, messages: Sequence[str]) -> None:
        for message in messages:
            log.warning("Feed %s: the vendor says %r.", self.name, message)

    @staticmethod
    async def _keep_alive(connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # the reader reports it
            while True:
                await asyncio.sleep(protocol.HEARTBEAT_INTERVAL_SECONDS)
                await connection.send(protocol.HEARTBEAT, text=True)


async def _messages(connection: ClientConnection) -> AsyncIterator[bytes]:
    """Yield text frames undecoded, which spares a pass over every byte; ends by ConnectionClosed only."""
    while True:
        yield await connection.recv(decode=False)
