"""`/stream`: ticks and candles as they are committed, as Server-Sent Events. docs/reference/http.md lists the events.

Parameters: symbols and periods, separated by commas; ticks=1 for every tick; price (default: each symbol's usual side);
prices, the version of the watch list that the client has, 0 for none: it gets the changes; last_event_id for clients
that cannot set the header Last-Event-ID.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from starlette.types import Receive, Scope, Send

from candleworks.candles.reads import CandleReader
from candleworks.candles.watch_list import WatchList
from candleworks.stream import Hub, SeriesKey, StreamClient, TickTopic, TooManyClientsError, Wanted
from candleworks.web.openapi import answers
from candleworks.web.parameters import STREAM, Given, StreamRequest, read_stream
from candleworks.web.prices import PriceFeed
from candleworks.web.responses import require_known

HEARTBEAT_SECONDS = 15.0
RETRY_MS = 2_000
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx passes on at once
}
_EXAMPLE = 'id: 7\nevent: tick\ndata: {"symbol":"AAPL","time":1772461800.5,"price":260.5,"volume":10.0}\n\n'


def stream_routes(market: CandleReader, hub: Hub, watched: WatchList) -> APIRouter:
    router = APIRouter()
    prices = PriceFeed(watched)

    @router.get("/stream", responses=answers("text/event-stream", _EXAMPLE))
    async def stream(request: Request, given: Annotated[Given, Depends(STREAM)]) -> Response:
        """Ticks and candles as they are stored, as Server-Sent Events. The header Last-Event-ID resumes a stream."""
        asked = read_stream(given, request.headers.get("last-event-id"))
        wanted = await run_sync(_wanted, market, asked)
        return EventStream(hub, wanted, prices, asked.prices)

    return router


def _wanted(market: CandleReader, asked: StreamRequest) -> Wanted:
    sides = {symbol: asked.price or _side(market, symbol) for symbol in asked.symbols}
    for symbol in asked.symbols if asked.price else ():
        require_known(market, symbol)
    keys = [SeriesKey(symbol, period, side) for symbol, side in sides.items() for period in asked.periods]
    ticks = [TickTopic(symbol, "trade" if side == "trade" else "quote") for symbol, side in sides.items()]
    return Wanted(tuple(keys), tuple(ticks) if asked.ticks else (), asked.since)


def _side(market: CandleReader, symbol: str) -> str:
    """Return the usual side of a symbol, trade where only its company is known."""
    sides = market.sides(symbol)
    if not sides:
        require_known(market, symbol)
    return next(iter(sides), "trade")


class EventStream(Response):
    """Sends what the hub has for one client until either side ends it."""

    def __init__(self, hub: Hub, wanted: Wanted, prices: PriceFeed, prices_since: int | None) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._prices = prices
        self._prices_since = prices_since
        self._prices_error: str | None = None
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        try:
            self._client = hub.join(wanted, self._on_ready)
        except TooManyClientsError as error:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"}) from None

    def _on_ready(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._ready.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        leaving = asyncio.create_task(self._until_left(receive))
        if self._prices_since is not None:
            self._prices.join(self._ready.set)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _send(send, b"retry: %d\n\n" % RETRY_MS)
            while not self._client.closed:
                await self._send_waiting(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()
            self._prices.leave(self._ready.set)
            self._hub.leave(self._client)

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client.close()
        self._ready.set()

    async def _send_waiting(self, send: Send) -> None:
        """Send what waits; when nothing does, wait for it or send a heartbeat."""
        self._ready.clear()
        frames = [*_frames(self._client, self._hub), *self._changed_prices()]
        if frames:
            await _send(send, b"".join(frames))
            return
        try:
            await asyncio.wait_for(self._ready.wait(), HEARTBEAT_SECONDS)
        except TimeoutError:
            seen = self._client.seen
            await _send(send, b": heartbeat\n" + (b"\n" if seen is None else b"id: %d\n\n" % seen))

    def _changed_prices(self) -> Iterator[bytes]:
        """Yield the prices that changed since those that the client has."""
        known, error = self._prices_since, self._prices.error
        if known is None or (error, self._prices.version or known) == (self._prices_error, known):
            return
        yield self._prices.frame(known)
        self._prices_error = error
        self._prices_since = known if error else self._prices.version


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _frames(client: StreamClient, hub: Hub) -> Iterator[bytes]:
    """Yield what waits. The last event of a batch has the position: after the others a part of it is missing."""
    batches, dropped = client.take(hub.position)
    if dropped:
        hub.resume(client)
    for batch in batches:
        hub.count(len(batch.events))
        *others, last = (event.frame for event in batch.events) if batch.events else (b"\n",)
        yield from others
        yield last if batch.position is None else b"id: %d\n%b" % (batch.position, last)
