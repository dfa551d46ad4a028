"""The simulated vendor on one port: its websocket, its REST paths, and control paths that disturb its clients."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from errno import EADDRINUSE
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from candleworks import clock
from candleworks.errors import TerminalError, UsageError
from candleworks.settings import DEFAULT_SYMBOLS
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.client import Client, Journal
from candleworks.simulate.control import CONTROL_PREFIX, FEED_PATH
from candleworks.simulate.market import LiveMarket, Market
from candleworks.simulate.recorded_market import RecordedMarket
from candleworks.simulate.recording import Recording, read_recording
from candleworks.simulate.rest import Fault, RestApi, RestResponse
from candleworks.simulate.ticks import Integers


@dataclass(frozen=True)
class SimulatorOptions:
    """`port` 0 takes a free one. `rate` is in ticks per second over all of `symbols` together.

    Other symbols of the built-in catalogue can be subscribed as well; they tick on top of `rate`.
    With `replay` (a file) or `recording` the symbols are those of the recording; `rate` and `seed` have no effect.
    `speed` multiplies the recording's speed; 0 sends as fast as the client reads.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    rate: float = 20.0
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    seed: int = 1
    replay: Path | None = None
    recording: Recording | None = None
    speed: float = 1.0
    keep_times: bool = False
    close_at_end: bool = False
    journal: Path | None = None
    refused_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10_000_000:
            raise UsageError(f"--rate {self.rate:g} is out of range: give ticks per second above 0, up to 10,000,000")
        if not 0 <= self.speed <= 1_000_000:
            raise UsageError(f"--speed {self.speed:g} is out of range: give 1 for real time, 0 for as fast as possible")
        if not 0 <= self.port <= 65_535:
            raise UsageError(f"--port {self.port} is out of range: give 1 to 65535, or 0 for any free port")
        if not self.symbols:
            raise UsageError("--symbols is empty: name symbols such as AAPL,BTC/USD")


_CLOSE_CODES: Final = frozenset(
    map(str, (1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))
)  # RFC 6455, 7.4
_MAX_MESSAGE_BYTES: Final = 1_000_000  # the vendor's limit
_WRITE_BUFFER_BYTES: Final = 1_000_000  # the most memory that a slow client costs
_CLOSING_SECONDS: Final = 2  # then a client that does not answer the close frame is disconnected
_OPEN_TIMEOUT_SECONDS: Final = 60  # a response with half a year of daily bars takes ten


class SimulatorServer:
    """An async context manager; the server listens as long as it is entered.

    Raises CandleworksError where it cannot start.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.market: Market = _market(options)
        self._rest = RestApi(self.market, options.refused_keys)
        self._journal = Journal(options.journal)
        self._clients: dict[int, Client] = {}
        self._accepted = 0
        self._refused = 0
        self._sent_to_gone: Integers = np.zeros(len(self.market.catalogue.instruments), dtype=np.int64)
        self._server: Server

    async def __aenter__(self) -> Self:
        options = self.options
        try:
            self._server = await serve(
                self._serve_client,
                options.host,
                options.port,
                process_request=self._process_request,
                compression=None,
                ping_interval=None,  # the vendor's clients send heartbeats, and some test clients do not answer pings
                open_timeout=_OPEN_TIMEOUT_SECONDS,
                close_timeout=_CLOSING_SECONDS,
                max_size=_MAX_MESSAGE_BYTES,
                write_limit=_WRITE_BUFFER_BYTES,
            )
        except OSError as error:
            self._journal.close()
            raise _cannot_listen(options, error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        self._journal.close()

    @property
    def port(self) -> int:
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    def stats(self) -> dict[str, Any]:
        """Return counts of what was sent since the start, snapshots included; symbols without ticks are left out.

        `finished_connections` counts clients that received a whole recording.
        """
        sent = sum((client.sent for client in self._clients.values()), self._sent_to_gone)
        frames = {self._label(row): int(sent[row]) for row in np.flatnonzero(sent).tolist()}
        return {
            "connections": len(self._clients),
            "finished_connections": sum(client.finished for client in self._clients.values()),
            "accepted_connections": self._accepted,
            "refused_connections": self._refused,
            "frames_sent": sum(frames.values()),
            "frames_sent_by_symbol": frames,
            "bar_requests": self._rest.bar_requests,
        }

    def _label(self, row: int) -> str:
        """Return the symbol, with its exchange where the plain symbol means another instrument."""
        listed = self.market.catalogue.instruments[row]
        plain = self.market.catalogue.find(listed.symbol) == row
        return listed.symbol if plain else f"{listed.symbol}:{listed.exchange.name}"

    async def _serve_client(self, connection: ServerConnection) -> None:
        self._accepted += 1
        number = self._accepted
        client = Client(number, connection, self.market, self._journal)
        self._clients[number] = client
        try:
            await client.serve(close_at_end=self.options.close_at_end)
        finally:
            self._sent_to_gone += client.sent
            del self._clients[number]

    async def _process_request(self, _: ServerConnection, request: Request) -> Response | None:
        """Answer plain GET requests; None continues a websocket handshake."""
        url = urlsplit(request.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        authorization = request.headers.get("Authorization", "")
        if url.path == FEED_PATH and self._rest.admits(query, authorization):
            return None
        self._refused += url.path == FEED_PATH
        if url.path.startswith(CONTROL_PREFIX):
            return _response(await self._control(url.path.removeprefix(CONTROL_PREFIX), query))
        # In a thread, because bars of many days take seconds and ticks must not stop.
        answer = await asyncio.to_thread(self._rest.answer, url.path, query, authorization, clock.now_us())
        return _response(answer)

    async def _control(self, name: str, query: dict[str, str]) -> RestResponse:
        clients = list(self._clients.values())
        match name:
            case "stats":
                return RestResponse(HTTPStatus.OK, self.stats())
            case "send" if "text" in query and query.get("repeat", "1").isdecimal():
                for client in clients:
                    client.write(query["text"].encode() * int(query.get("repeat", "1")))
            case "close" if query.get("code", "1001") in _CLOSE_CODES:
                code = int(query.get("code", "1001"))
                await asyncio.gather(*(client.close(code, query.get("reason", "")) for client in clients))
            case "fail":
                try:
                    self._rest.faults.append(Fault.from_query(query))
                except ValueError as error:
                    return RestResponse(HTTPStatus.BAD_REQUEST, {"message": str(error)})
            case "drop":
                for client in clients:
                    client.abort()
            case _:
                known = (
                    "stats, send?text=TEXT, close?code=CODE&reason=TEXT, drop,"
                    " fail?status=CODE&message=TEXT&times=N&in_body=1&retry_after=SECONDS&symbol=SYMBOL"
                )
                return RestResponse(
                    HTTPStatus.NOT_FOUND, {"message": f"unknown control path {name}: choose one of {known}"}
                )
        return RestResponse(HTTPStatus.OK, {"clients": len(clients)})


async def run_simulator(
    options: SimulatorOptions, *, stop: asyncio.Event, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until `stop` is set; `ready` is called with the port once clients can connect."""
    async with SimulatorServer(options) as simulator:
        if ready:
            ready(simulator.port)
        await stop.wait()


def _market(options: SimulatorOptions) -> Market:
    catalogue = built_in_catalogue()
    if options.recording:
        recording = options.recording
    elif options.replay:
        recording = read_recording(options.replay, catalogue)
    else:
        return LiveMarket(catalogue, symbols=options.symbols, rate=options.rate, seed=options.seed)
    return RecordedMarket(recording, speed=options.speed, keep_times=options.keep_times)


def _response(answer: RestResponse) -> Response:
    body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
    status = HTTPStatus(answer.status)
    headers = Headers({"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    headers.update(answer.headers)
    if answer.is_batch:
        headers["Is_batch"] = "true"  # the vendor's package looks for it
    return Response(status.value, status.phrase, headers, body)


def _cannot_listen(options: SimulatorOptions, error: OSError) -> TerminalError:
    if error.errno == EADDRINUSE:
        return TerminalError(
            f"port {options.port} on {options.host} is in use: stop the process that uses it, or give another --port"
        )
    return TerminalError(
        f"cannot listen on {options.host} port {options.port} ({error}): give another --host or --port"
    )
