"""`candleworks up`: the whole platform in the foreground."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from candleworks.cli.live_status import LiveStatus
from candleworks.cli.running import Duration, only_one, stop_on_signal
from candleworks.database.connection import (
    ConnectionPool,
    connect,
    describe,
    open_pool,
    transient_errors,
)
from candleworks.database.profiles import READER
from candleworks.database.server import revive_database
from candleworks.errors import CandleworksError, TerminalError, TransientError, UsageError
from candleworks.runtime.database import migrating
from candleworks.runtime.grafana import GRAFANA, address_of_page, find_grafana
from candleworks.runtime.prefect import (
    PREFECT_FILE,
    WORKER,
    end_left_behind,
    forget_feeds,
    orchestrated,
    prefect_server,
    prefect_worker,
    refused_feeds,
    server_address,
    stopped_feeds,
)
from candleworks.runtime.processes import Child, stop_all
from candleworks.settings import Settings, load_settings
from candleworks.simulate import RunningSimulator
from candleworks.storage.feeds import confirm_stops
from candleworks.storage.monitoring import read_status

STOP_SECONDS = 3.5
WORKER_STOP_SECONDS = 9.5
REFRESH_SECONDS = 1.0

Orchestrated = Annotated[
    bool, typer.Option("--prefect/--no-prefect", help="Run everything under Prefect, or the feeds as plain processes.")
]


def up(duration: Duration = None, prefect: Orchestrated = True) -> None:
    """Start everything: database, feed (simulated while TWELVEDATA_API_KEY is not set), candles, chart page, Prefect.

    Ctrl-C stops it all.
    """
    settings = load_settings()
    if prefect and not orchestrated():
        raise UsageError(
            f"There is no {PREFECT_FILE} in {Path.cwd()}: start in the directory that was cloned, or use --no-prefect."
        )
    refusal = (
        f"candleworks is already up in {settings.home} (process {{holder}}):"
        " stop it first, or set CANDLEWORKS_HOME to another directory."
    )
    with only_one(settings.home / "up.lock", refusal):
        _check_port(settings.web_port, "the chart page", "CANDLEWORKS_WEB_PORT")
        if prefect:
            _check_port(settings.prefect_port, "Prefect", "CANDLEWORKS_PREFECT_PORT")
        forget_feeds(settings)
        children = _children(settings, prefect=prefect)
        try:
            for child in children:
                if not child.needs_database:
                    child.start()
            with migrating(settings) as dsn:
                asyncio.run(_run(settings, dsn, duration, children, prefect=prefect))
        finally:
            _stop(children, settings)


async def _run(settings: Settings, dsn: str, duration: float | None, children: list[Child], *, prefect: bool) -> None:
    stop = stop_on_signal(duration)
    try:
        for child in children:
            if child.needs_database:
                child.start()
        heading = _heading(settings, dsn, prefect=prefect)
        with LiveStatus(heading) as screen, open_pool(dsn, "up", profile=READER, max_size=1) as pool:
            await _watch(stop, children, screen, pool, settings)
    finally:
        await asyncio.to_thread(_stop, children, settings)
    _confirm_stops(dsn, [feed.name for feed in settings.feeds])


def _confirm_stops(dsn: str, feeds: list[str]) -> None:
    """Note that a person wanted the feeds to end: their processes only know that they ended together with us."""
    with contextlib.suppress(TransientError), transient_errors(dsn), connect(dsn, "up", profile=READER) as connection:
        confirm_stops(connection, feeds, f"candleworks up was ended on {socket.gethostname()}")


def _stop(children: list[Child], settings: Settings) -> None:
    """End the worker first: its runs tell Prefect's server how they ended, and the feed is not to vanish before."""
    workers = [child for child in children if child.name == WORKER]
    stop_all(workers, WORKER_STOP_SECONDS)
    if workers:
        end_left_behind(settings)
    stop_all(children, STOP_SECONDS)


async def _watch(
    stop: asyncio.Event, children: list[Child], screen: LiveStatus, pool: ConnectionPool, settings: Settings
) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, ended.set)
    while not stop.is_set():
        for child in children:
            if child.revive():
                screen.say(f"{child.name} {child.ending} and was started again.")
        with contextlib.suppress(TransientError):  # it is still recovering
            if await asyncio.to_thread(revive_database, settings):
                screen.say("The database had died and was started again.")
        _raise_for_ended(children)
        _raise_for_refused(children, settings)
        screen.show(await asyncio.to_thread(_status, pool, settings), _notes(children, settings))
        await _pause(stop, ended)


async def _pause(stop: asyncio.Event, ended: asyncio.Event) -> None:
    """Wait until it is time to look again: at once when a child has ended."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, ended)]
    await asyncio.wait(waits, timeout=REFRESH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    ended.clear()


def _notes(children: list[Child], settings: Settings) -> list[str]:
    notes = [child.note for child in children if child.note]
    return notes + [f"ingest {feed} has stopped: {why}" for feed, why in stopped_feeds(settings).items()]


def _raise_for_ended(children: list[Child]) -> None:
    """A feed may end alone; when the last one does, there is nothing left to show."""
    feeds = [child for child in children if child.refusing]
    if feeds and all(child.refused for child in feeds):
        raise TerminalError(f"{feeds[0].name} has stopped: {feeds[0].last_words} (log: {feeds[0].log})")


def _raise_for_refused(children: list[Child], settings: Settings) -> None:
    refused = refused_feeds(settings)
    worker = next((child for child in children if child.name == WORKER), None)
    if worker and refused and len(refused) == len(settings.feeds):
        feed, why = next(iter(refused.items()))
        raise TerminalError(f"ingest {feed} has stopped: {why} (log: {worker.log})")


def _status(pool: ConnectionPool, settings: Settings) -> dict[str, Any] | None:
    try:
        with transient_errors(settings.dsn.get_secret_value() if settings.dsn else ""), pool.connection() as connection:
            return read_status(connection, {feed.name: feed.names for feed in settings.feeds})
    except TransientError:
        return None


def _children(settings: Settings, *, prefect: bool) -> list[Child]:
    logs = settings.home / "logs"
    environment: dict[str, str | None] = {}
    children = []
    if settings.simulated:
        simulator = RunningSimulator("127.0.0.1", _free_port())
        environment = {
            "CANDLEWORKS_FEED_URL": simulator.feed_url,
            "CANDLEWORKS_REST_URL": simulator.rest_url,
            "CANDLEWORKS_SIMULATED": "true",
        }
        symbols = dict.fromkeys(ticker for feed in settings.feeds for ticker in feed.tickers)
        arguments = ["simulate", "--port", str(simulator.port), "--symbols", ",".join(symbols)]
        arguments += ["--rate", str(settings.simulator.rate), "--seed", str(settings.simulator.seed)]
        children.append(Child("simulated feed", arguments, {}, logs / "simulate.log", needs_database=False))
    if prefect:  # it takes longest to start
        children += [prefect_server(settings, logs), prefect_worker(settings, environment, logs)]
    else:
        children += [_ingest(feed.name, environment, logs) for feed in settings.feeds]
    children.append(Child("chart page", ["serve"], environment, logs / "serve.log"))
    children.append(Child("alerts", ["alerts", "watch"], environment, logs / "alerts.log"))
    if find_grafana(settings):
        children.append(Child(GRAFANA, ["grafana"], {}, logs / "grafana.log"))
    return children


def _ingest(feed: str, environment: Mapping[str, str | None], logs: Path) -> Child:
    return Child(f"ingest {feed}", ["ingest", "--feed", feed], environment, logs / f"ingest-{feed}.log", refusing=True)


def _heading(settings: Settings, dsn: str, *, prefect: bool) -> list[str]:
    source = "simulated (set TWELVEDATA_API_KEY for live data)" if settings.simulated else settings.feed_url
    return [
        f"Chart page  http://127.0.0.1:{settings.web_port}/",
        *([f"Prefect     {server_address(settings)}"] if prefect else []),
        *([f"{GRAFANA}     {address_of_page(settings)}"] if find_grafana(settings) else []),
        f"Database    {describe(dsn)}",
        '            psql "$(.venv/bin/candleworks dsn)"',
        f"Feed        {source}",
        *(["            Made-up prices: its market never closes, not even on weekends."] if settings.simulated else []),
        f"Logs        {settings.home / 'logs'}   Ctrl-C stops everything.",
    ]


def _check_port(port: int, purpose: str, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CandleworksError(
                f"Port {port} for {purpose} is in use: stop what listens there, or set {variable}."
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
