"""`candleworks serve` and `grafana`: the chart page with candle data and metrics, and an installed Grafana."""

import asyncio
import logging
import socket
from typing import Annotated

import typer

from candleworks.cli.console import Duration
from candleworks.database.server import database
from candleworks.errors import TransientError
from candleworks.processes import log_to_stderr, stop_event
from candleworks.runtime.database import check_schema, prepared, require_database
from candleworks.runtime.grafana import (
    HEALTH_PATH,
    bundled_plugins,
    grafana_address,
    require_grafana,
    run_grafana,
    set_up_grafana,
)
from candleworks.runtime.prefect import server_address
from candleworks.settings import load_settings
from candleworks.web.server import HOST, LOOPBACK, PageOptions, address, listen, run_server
from candleworks.web.services import ServiceLink

Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port to listen on. [default: CANDLEWORKS_WEB_PORT, or 8050]")
]
Host = Annotated[str, typer.Option(help="Address to listen on; requests for other host names are refused.")]

Actions = Annotated[
    bool | None,
    typer.Option(
        "--actions/--no-actions",
        help="Let the quality page acknowledge and silence alerts. [default: only on a loopback address]",
    ),
]

log = logging.getLogger(__name__)


def serve(host: Host = HOST, port: Port = None, duration: Duration = None, actions: Actions = None) -> None:
    """Serve the chart page, candle data and metrics.

    It listens on 127.0.0.1. /openapi.json describes what it answers.
    """
    settings = load_settings()
    log_to_stderr(settings.log_level)
    require_database(settings)
    with listen(port or settings.web_port, host) as listener, database(settings) as dsn:
        _check_schema(dsn)
        typer.echo(f"chart page {address(listener)}")
        options = PageOptions(
            simulated=settings.shows_simulated,
            requests_per_second=settings.web.requests_per_second,
            request_burst=settings.web.request_burst,
            max_buffered_bytes=settings.ingest.max_buffered_bytes,
            actions=host in LOOPBACK if actions is None else actions,
            services=(
                ServiceLink("Prefect", server_address(settings), "api/health"),
                ServiceLink("Grafana", grafana_address(settings), HEALTH_PATH),
            ),
        )
        asyncio.run(_serve(dsn, listener, duration, options))


async def _serve(dsn: str, listener: socket.socket, duration_seconds: float | None, options: PageOptions) -> None:
    await run_server(dsn, listener, stop_event(duration_seconds), options)


def _check_schema(dsn: str) -> None:
    """Require the schema unless the database is unavailable: the page says so until it is available again."""
    try:
        check_schema(dsn)
    except TransientError as error:
        log.warning("%s", error)


def grafana() -> None:
    """Run an installed Grafana with the dashboards.

    It listens on 127.0.0.1 and reads the database in use.
    """
    settings = load_settings()
    command = require_grafana(settings)
    with prepared(settings) as dsn:
        environment = set_up_grafana(settings, dsn)
        typer.echo(f"Grafana {grafana_address(settings)}")
        run_grafana(command, {**environment, **bundled_plugins(command)})
