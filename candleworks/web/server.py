"""The web application, and the server that runs it on a loopback port."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, Depends, FastAPI, Request, Response, params
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from candleworks.candles.reads import CandleReader, open_reader
from candleworks.candles.watch_list import WatchList
from candleworks.errors import CandleworksError, ConfigurationError, MissingLibraryError, TerminalError, UsageError
from candleworks.settings import Ingest
from candleworks.storage.read_pool import MAX_CONNECTIONS
from candleworks.stream import Hub
from candleworks.web.alert_desk import AlertDesk, ForeignRequestError, alert_routes
from candleworks.web.candles import gap_routes, ohlc_routes
from candleworks.web.connections import TimedProtocol, drop_stalled_readers
from candleworks.web.health import health_routes, symbol_routes
from candleworks.web.indicators import indicator_routes
from candleworks.web.metrics import metric_routes
from candleworks.web.openapi import PREFIX, openapi_routes
from candleworks.web.page import page_routes
from candleworks.web.parameters import BadParameterError
from candleworks.web.quality import quality_data_routes, quality_routes
from candleworks.web.rate_limit import RateLimit
from candleworks.web.responses import UnknownSymbolError, json_answer
from candleworks.web.security import SecurityMiddleware
from candleworks.web.services import ServiceLink, service_routes
from candleworks.web.stream import stream_routes
from candleworks.web.watch_list import watch_list_routes

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost", "::1")
GRACE_SECONDS = 1
_STATUS = {
    BadParameterError: 400,
    ForeignRequestError: 403,
    UnknownSymbolError: 404,
    ConfigurationError: 503,
    MissingLibraryError: 501,
    UsageError: 409,
    CandleworksError: 503,
    ClientDisconnect: 400,
}
_FAULT = "The server failed to answer this request: its log says why."


@dataclass(frozen=True)
class PageOptions:
    """What the page shows besides the database.

    `simulated`: it says that its prices are simulated. `actions`: alerts can be acknowledged and silenced on it.
    `services` are linked with their states. `requests_per_second` and `request_burst` limit each address.
    `max_buffered_bytes` is the limit of the ingest that /metrics names.
    """

    simulated: bool = False
    actions: bool = False
    services: Sequence[ServiceLink] = ()
    requests_per_second: float = 50.0
    request_burst: int = 200
    max_buffered_bytes: int = Ingest().max_buffered_bytes


def create_app(market: CandleReader, hub: Hub, dsn: str, options: PageOptions) -> FastAPI:
    """Create the application, without SecurityMiddleware; `dsn` is connected to only when an alert is changed.

    FastAPI's own documentation pages are off because they load scripts from elsewhere.
    """
    app = FastAPI(title="candleworks", openapi_url=None, docs_url=None, redoc_url=None)
    desk = AlertDesk(dsn, enabled=options.actions)
    page, pages = page_routes(simulated=options.simulated), [quality_routes(market, desk), alert_routes(desk)]
    data = _data_routes(market, hub, options)
    operation = [health_routes(market), metric_routes(market, hub, options.max_buffered_bytes)]
    data.append(openapi_routes([*data, *operation], [page, *pages]))
    limit = [Depends(RateLimit(options.requests_per_second, options.request_burst))]
    # Not counted: what the chart page is made of, and what watches the server.
    _include(app, [page], ("",))
    _include(app, operation, ("", PREFIX))
    _include(app, pages, ("",), limit)
    _include(app, data, ("", PREFIX), limit)
    for expected in (*_STATUS, HTTPException, Exception):
        app.add_exception_handler(expected, _error_answer)
    return app


def _data_routes(market: CandleReader, hub: Hub, options: PageOptions) -> list[APIRouter]:
    watched = WatchList(market)
    return [
        watch_list_routes(watched),
        service_routes(market, options.services),
        ohlc_routes(market),
        gap_routes(market),
        indicator_routes(market),
        stream_routes(market, hub, watched),
        symbol_routes(market),
        quality_data_routes(market),
    ]


def _include(
    app: FastAPI, routers: Sequence[APIRouter], prefixes: Sequence[str], dependencies: Sequence[params.Depends] = ()
) -> None:
    for router in routers:
        for prefix in prefixes:
            app.include_router(router, prefix=prefix, dependencies=dependencies)


async def _error_answer(request: Request, error: Exception) -> Response:
    """Answer with one sentence, as JSON unless CSV was requested."""
    if isinstance(error, HTTPException):
        status, sentence, headers = error.status_code, error.detail, error.headers
    else:
        status = next((status for expected, status in _STATUS.items() if isinstance(error, expected)), 500)
        sentence, headers = _FAULT if status == 500 else str(error), None
    if request.url.path.endswith(".csv"):
        return Response(f"{sentence}\n", status, headers, "text/plain; charset=utf-8")
    return json_answer({"error": sentence}, status, headers)


def listen(port: int, host: str = HOST) -> socket.socket:
    """Bind the port, 0 for any free one; TerminalError when that fails."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        drop_stalled_readers(listener)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = "in use" if error.errno == errno.EADDRINUSE else f"not available ({error.strerror})"
        raise TerminalError(
            f"The port {port} of the chart page is {reason}: set CANDLEWORKS_WEB_PORT to a free port, or give --port."
        ) from None
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL of the page that is served on the listener."""
    return f"http://{HOST}:{listener.getsockname()[1]}/"


async def run_server(dsn: str, listener: socket.socket, stop: asyncio.Event, options: PageOptions) -> None:
    """Serve until `stop` is set; requests in progress get GRACE_SECONDS to finish."""
    # Requests wait for a free thread, not for a connection: waiting for one means that the database is unreachable.
    current_default_thread_limiter().total_tokens = MAX_CONNECTIONS
    with open_reader(dsn) as market, Hub(dsn) as hub:
        config = uvicorn.Config(
            SecurityMiddleware(create_app(market, hub, dsn, options)),
            http=TimedProtocol,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _SignallessServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        hub.stop()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=GRACE_SECONDS)
        market.interrupt()
        await serving


class _SignallessServer(uvicorn.Server):
    """Leaves signals to the command, which exits with a status of its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
