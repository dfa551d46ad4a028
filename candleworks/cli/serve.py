"""`candleworks serve`: the chart page and the candle feeds."""

import asyncio
import logging
import socket
from typing import Annotated

import typer

from candleworks.cli.running import Duration, log_to_stderr, stop_on_signal
from candleworks.database.server import database
from candleworks.errors import TransientError
from candleworks.runtime.database import check_schema, require_database
from candleworks.settings import load_settings
from candleworks.web.server import HOST, address, listen, run_server

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Instead of CANDLEWORKS_WEB_PORT, default 8050.")]
Host = Annotated[str, typer.Option(help="Address to listen on; only requests for 127.0.0.1 or localhost are answered.")]

_log = logging.getLogger(__name__)


def serve(host: Host = HOST, port: Port = None, duration: Duration = None) -> None:
    """Serve the chart page, /ohlc.csv, /ohlc.json, /symbols, /healthz and /metrics on 127.0.0.1."""
    settings = load_settings()
    log_to_stderr(settings)
    require_database(settings)
    with listen(port or settings.web_port, host) as listener, database(settings) as dsn:
        _check_schema(dsn)
        typer.echo(f"chart page {address(listener)}")
        asyncio.run(_run(dsn, listener, duration, simulated=settings.shows_simulated))


async def _run(dsn: str, listener: socket.socket, duration_seconds: float | None, *, simulated: bool) -> None:
    await run_server(dsn, listener, stop_on_signal(duration_seconds), simulated=simulated)


def _check_schema(dsn: str) -> None:
    """Require the schema unless the database is away: the page then says so, and comes alive with the database."""
    try:
        check_schema(dsn)
    except TransientError as error:
        _log.warning("%s", error)
