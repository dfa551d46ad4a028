"""Runs the application on a loopback port until it is told to stop."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from anyio.to_thread import current_default_thread_limiter

from candleworks.candles.reads import open_reader
from candleworks.errors import TerminalError
from candleworks.storage.read_pool import MAX_CONNECTIONS
from candleworks.web.app import create_app

HOST = "127.0.0.1"
GRACE_SECONDS = 1


def listen(port: int, host: str = HOST) -> socket.socket:
    """Take the port, or a free one for 0; TerminalError when it cannot be had."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = "in use" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
        raise TerminalError(
            f"The port {port} of the chart page is {reason}: set CANDLEWORKS_WEB_PORT to a free port, or give --port."
        ) from None
    return listener


def address(listener: socket.socket) -> str:
    """Return the address of the page that is served on the listener."""
    return f"http://{HOST}:{listener.getsockname()[1]}/"


async def run_server(dsn: str, listener: socket.socket, stop: asyncio.Event, *, simulated: bool = False) -> None:
    """Serve until `stop` is set; requests under way get GRACE_SECONDS to finish.

    `simulated` has the page say that its prices are.
    """
    # Requests wait for a free thread, not for a connection: waiting for a connection means that the database is away.
    current_default_thread_limiter().total_tokens = MAX_CONNECTIONS
    with open_reader(dsn) as market:
        config = uvicorn.Config(
            create_app(market, simulated=simulated),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=GRACE_SECONDS)
        market.interrupt()
        await serving


class _Server(uvicorn.Server):
    """Leaves signals to the command, whose exit status should not be a signal's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
