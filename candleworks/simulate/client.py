"""One client of the simulated feed, from its first message to its last, and the journal of what it was sent."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from candleworks import clock
from candleworks.errors import UsageError
from candleworks.simulate import protocol
from candleworks.simulate.market import SECOND_US, Market
from candleworks.simulate.ticks import Integers, Ticks, joined_frames, text_frame


class Journal:
    """Writes one JSON object per price event sent: `connection` and `snapshot`, followed by the event's own fields."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._file: BinaryIO | None = path.open("wb") if path else None
        except OSError as error:
            raise UsageError(f"--journal {path} cannot be written: {error.strerror}; name another file") from error

    def close(self) -> None:
        if self._file:
            self._file.close()

    def write(self, connection: int, payloads: list[bytes], *, snapshot: bool) -> None:
        if self._file and payloads:
            head = b'{"connection":%d,"snapshot":%b,' % (connection, b"true" if snapshot else b"false")
            self._file.write(b"".join(b"%b%b\n" % (head, payload[1:]) for payload in payloads))
            self._file.flush()


_MAX_TICKS_PER_WRITE: Final = 4096
_MIN_PAUSE_SECONDS: Final = 0.02  # at high rates about 50 writes a second, however many ticks
_MAX_PAUSE_SECONDS: Final = 0.1  # the longest wait of a new subscription for its first tick


class Client:
    """Handles a client's messages and streams ticks to it; `sent` counts its price events by row.

    Frames are built here and written to the transport directly. They are complete, unfragmented and uncompressed, so
    they can be mixed with frames that the websockets library writes. Sending them one by one through the library had
    a tenth of the throughput.
    """

    def __init__(self, number: int, connection: ServerConnection, market: Market, journal: Journal) -> None:
        self.number = number
        self.sent: Integers = np.zeros(len(market.catalogue.instruments), dtype=np.int64)
        self._connection = connection
        self._catalogue = market.catalogue
        self._cursor = market.cursor()
        self._journal = journal
        self._encoder = market.encoder()
        self._rows: dict[int, None] = {}

    @property
    def finished(self) -> bool:
        """Whether the whole recording was sent."""
        return self._cursor.ended

    async def serve(self, *, close_at_end: bool) -> None:
        """Returns when the connection is closed by either side."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._stream(close_at_end=close_at_end))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def write(self, text: bytes) -> None:
        if self._connection.state is State.OPEN:
            self._connection.transport.write(text_frame(text))

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """Close the TCP connection without a closing handshake, as a broken network does."""
        self._connection.transport.abort()

    async def _listen(self) -> None:
        with suppress(ConnectionClosed, OSError):
            async for message in self._connection:
                self._handle(message)
                await self._connection.drain()

    async def _stream(self, *, close_at_end: bool) -> None:
        with suppress(ConnectionClosed, OSError):
            while self._connection.state is State.OPEN:
                ticks = self._cursor.take(clock.now_us(), _MAX_TICKS_PER_WRITE)
                self._send(ticks, snapshot=False)
                await self._connection.drain()
                if self._cursor.ended and close_at_end:
                    await self._connection.close()
                await asyncio.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        wait_seconds = (self._cursor.next_due_us() - clock.now_us()) / SECOND_US
        if wait_seconds < -_MIN_PAUSE_SECONDS:
            return 0.0  # more ticks were due than fit into one write
        return min(max(wait_seconds, _MIN_PAUSE_SECONDS), _MAX_PAUSE_SECONDS)

    def _send(self, ticks: Ticks, *, snapshot: bool) -> None:
        if len(ticks) and self._connection.state is State.OPEN:
            payloads = self._encoder.payloads(ticks)
            self._connection.transport.write(joined_frames(payloads))
            self._journal.write(self.number, payloads, snapshot=snapshot)
            self.sent += np.bincount(ticks.rows, minlength=len(self.sent))

    def _handle(self, message: str | bytes) -> None:
        action = protocol.parse_request(message)
        if action is None:
            self.write(protocol.CANNOT_PARSE)
            return
        match action.name:
            case "subscribe":
                self._subscribe(protocol.look_up(self._catalogue, action.symbols))
            case "unsubscribe":
                self._unsubscribe(protocol.look_up(self._catalogue, action.symbols))
            case "reset":
                self._forget(list(self._rows))
                self.write(protocol.RESET)
            case "heartbeat":
                self.write(protocol.HEARTBEAT)

    def _subscribe(self, found: protocol.Lookup) -> None:
        self.write(protocol.status_event("subscribe-status", self._catalogue, found))
        if found.rows:
            self._rows |= dict.fromkeys(found.rows)
            self._send(self._cursor.subscribe(found.rows, clock.now_us()), snapshot=True)

    def _unsubscribe(self, found: protocol.Lookup) -> None:
        self._forget(found.rows)
        self.write(protocol.status_event("unsubscribe-status", self._catalogue, found))

    def _forget(self, rows: list[int]) -> None:
        self._cursor.unsubscribe(rows)
        for row in rows:
            self._rows.pop(row, None)
