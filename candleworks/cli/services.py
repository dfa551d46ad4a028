"""Commands that run one service in the foreground: `ingest`, `serve`, `simulate` and `grafana`."""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Annotated

import typer

from candleworks.cli.console import Duration
from candleworks.database.server import database
from candleworks.errors import TransientError
from candleworks.feed.connection import check_key
from candleworks.processes import log_to_stderr, stop_event
from candleworks.runtime.database import check_schema, migrated_or_later, prepared, require_database
from candleworks.runtime.grafana import grafana_address, require_grafana, run_grafana, set_up_grafana
from candleworks.runtime.streaming import stream_feeds
from candleworks.settings import DEFAULT_SYMBOLS, load_settings
from candleworks.simulate import RunningSimulator, SimulatorOptions, serve_until_stopped
from candleworks.web.server import HOST, address, listen, run_server

Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port to listen on. [default: CANDLEWORKS_WEB_PORT, or 8050]")
]
Host = Annotated[str, typer.Option(help="Address to listen on; requests for other host names are refused.")]

log = logging.getLogger(__name__)


def ingest(
    feed: Annotated[str | None, typer.Option(help="Only this feed of the configuration.")] = None,
    duration: Duration = None,
) -> None:
    """Stream ticks and keep candles up to date.

    SIGHUP reloads the configuration: symbols are subscribed and unsubscribed without reconnecting.
    """
    settings = load_settings()
    chosen = settings.feeds if feed is None else (settings.feed(feed),)
    check_key(settings, chosen)
    log_to_stderr(settings.log_level)
    with migrated_or_later(settings) as (dsn, migrate_later):
        asyncio.run(stream_feeds(settings, chosen, dsn, duration, migrate_later))


def serve(host: Host = HOST, port: Port = None, duration: Duration = None) -> None:
    """Serve the chart page, candle data and metrics.

    It listens on 127.0.0.1: /, /ohlc.csv, /ohlc.json, /symbols, /healthz and /metrics.
    """
    settings = load_settings()
    log_to_stderr(settings.log_level)
    require_database(settings)
    with listen(port or settings.web_port, host) as listener, database(settings) as dsn:
        _check_schema(dsn)
        typer.echo(f"chart page {address(listener)}")
        asyncio.run(_serve(dsn, listener, duration, simulated=settings.shows_simulated))


async def _serve(dsn: str, listener: socket.socket, duration_seconds: float | None, *, simulated: bool) -> None:
    await run_server(dsn, listener, stop_event(duration_seconds), simulated=simulated)


def _check_schema(dsn: str) -> None:
    """Require the schema unless the database is unavailable: the page says so until it is available again."""
    try:
        check_schema(dsn)
    except TransientError as error:
        log.warning("%s", error)


def simulate(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for the websocket and REST; 0 chooses a free one.")] = 8765,
    rate: Annotated[float, typer.Option(help="Ticks per second, over all of --symbols together.")] = 20.0,
    symbols: Annotated[
        str, typer.Option(help="Comma-separated symbols that share --rate; unknown ones become simulated stocks.")
    ] = ",".join(DEFAULT_SYMBOLS),
    seed: Annotated[int, typer.Option(help="The same seed generates the same prices.")] = 1,
    replay: Annotated[
        Path | None, typer.Option(help="Send this recording (time,symbol,price,day_volume) instead of made-up prices.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Speed of --replay: 1 is real time, 0 as fast as the client reads.")] = 1,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Keep the event times of --replay instead of shifting them to today.")
    ] = False,
    close_at_end: Annotated[
        bool, typer.Option("--close-at-end", help="Close the connection (code 1000) at the end of --replay.")
    ] = False,
    journal: Annotated[Path | None, typer.Option(help="Write every price event sent to this file, as JSON.")] = None,
    refuse_key: Annotated[list[str] | None, typer.Option(help="API key to reject; repeatable.")] = None,
    duration: Duration = None,
) -> None:
    """Run a simulated Twelve Data server.

    It speaks the vendor's websocket and REST protocols, with made-up or recorded prices. Every API key is accepted
    except those of --refuse-key. Tests can call /simulator/stats, /simulator/send?text=TEXT,
    /simulator/close?code=CODE, /simulator/drop and /simulator/fail?status=CODE.
    """
    options = SimulatorOptions(
        host=host,
        port=port,
        rate=rate,
        symbols=tuple(symbol.strip() for symbol in symbols.split(",") if symbol.strip()),
        seed=seed,
        replay=replay,
        speed=speed,
        keep_times=keep_times,
        close_at_end=close_at_end,
        journal=journal,
        refused_keys=tuple(refuse_key or ()),
    )

    def announce(actual_port: int) -> None:
        urls = RunningSimulator(host, actual_port)
        typer.echo(f"simulated feed {urls.feed_url} and REST {urls.rest_url}")

    asyncio.run(serve_until_stopped(options, ready=announce, duration_seconds=duration))


def grafana() -> None:
    """Run an installed Grafana with the dashboards.

    It listens on 127.0.0.1 and reads the database in use.
    """
    settings = load_settings()
    command = require_grafana(settings)
    with prepared(settings) as dsn:
        environment = set_up_grafana(settings, dsn)
        typer.echo(f"Grafana {grafana_address(settings)}")
        run_grafana(command, environment)
