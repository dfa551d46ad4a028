"""`candleworks up`: the whole platform in the foreground."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from candleworks.cli.console import Duration
from candleworks.cli.live_status import LiveStatus
from candleworks.cli.program import program_name
from candleworks.database.connection import ConnectionPool, close_pool, describe, open_pool
from candleworks.database.profiles import READER
from candleworks.processes import single_instance, stop_event, stopped_within
from candleworks.runtime.database import Revival, migrated
from candleworks.runtime.grafana import GRAFANA, find_grafana, grafana_address
from candleworks.runtime.prefect import password_file, prefect_state, server_address, sign_in_address
from candleworks.runtime.services import Services
from candleworks.settings import Settings, load_settings
from candleworks.threads import in_thread, unless_stopped

REFRESH_SECONDS = 1.0
FIRST_REFRESH_SECONDS = 0.2
FIRST_TICK_SECONDS = 5.0
ANSWER_SECONDS = 3.0  # how long the database may take for the state before it is shown as unavailable

WithPrefect = Annotated[
    bool,
    typer.Option("--prefect/--no-prefect", help="Run everything under Prefect, or only the feeds, as plain processes."),
]


def up(duration: Duration = None, prefect: WithPrefect = True) -> None:
    """Start the whole platform in the foreground.

    It consists of the database, feeds, candles, the chart page, alerts and Prefect. The feed is simulated while
    TWELVEDATA_API_KEY is not set. Ctrl-C stops everything.
    """
    settings = load_settings()
    refusal = (
        f"candleworks is already running in {settings.home} (process {{pid}}):"
        " stop it first, or set CANDLEWORKS_HOME to another directory."
    )
    with single_instance(settings.home / "up.lock", refusal):
        services = Services(settings, prefect=prefect)
        try:
            services.start_simulator()
            if settings.dsn is None:
                typer.echo(f"Starting PostgreSQL in {settings.home}.")
            with migrated(settings, typer.echo) as dsn, contextlib.ExitStack() as stack:
                asyncio.run(_run(services, dsn, duration, stack if prefect else None))
        finally:
            services.stop()


async def _run(services: Services, dsn: str, duration: float | None, prefect: contextlib.ExitStack | None) -> None:
    """Run until a stop signal or the end of the duration; Prefect's database stays open as long as `prefect` does."""
    stop = stop_event(duration)
    settings = services.settings
    pool = open_pool(dsn, "up", profile=READER, max_size=1)
    try:
        services.start_streaming()
        heading = _heading(settings, dsn, prefect=prefect is not None)
        with LiveStatus(heading) as screen:
            await _wait_for_ticks(stop, services, screen, pool)
            await _start_others(stop, services, dsn, prefect)
            await _supervise(stop, services, screen, pool)
    finally:
        await asyncio.gather(in_thread(services.stop), in_thread(close_pool, pool))
    await services.confirm_stop(dsn)


async def _start_others(
    stop: asyncio.Event, services: Services, dsn: str, prefect: contextlib.ExitStack | None
) -> None:
    state = prefect_state(services.settings, dsn)
    database = await unless_stopped(stop, prefect.enter_context, state) if prefect else None
    if not stop.is_set():
        services.start_others(database)


async def _wait_for_ticks(stop: asyncio.Event, services: Services, screen: LiveStatus, pool: ConnectionPool) -> None:
    """Wait until ticks of this start are stored, at most FIRST_TICK_SECONDS: what starts next takes processor time.

    Where an operator has stopped all feeds there is nothing to wait for.
    """
    if not services.streams:
        return
    with contextlib.suppress(TimeoutError):  # also while the database does not answer
        async with asyncio.timeout(FIRST_TICK_SECONDS):
            before = await unless_stopped(stop, services.newest_tick, pool)
            while not await stopped_within(stop, FIRST_REFRESH_SECONDS):
                services.raise_for_failures()
                await _show(stop, services, screen, pool)
                if await unless_stopped(stop, services.newest_tick, pool) != before:
                    return


async def _supervise(stop: asyncio.Event, services: Services, screen: LiveStatus, pool: ConnectionPool) -> None:
    """Restart what ends, revive the database and show the state, each beside the others: none waits for another."""
    revivals = services.revivals(screen.say)
    others = [asyncio.create_task(revival.run(stop)) for revival in revivals]
    others.append(asyncio.create_task(_display(stop, services, screen, pool, revivals)))
    restarting = asyncio.create_task(_restart(stop, services, screen))
    try:
        await asyncio.wait({restarting, *others}, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in (restarting, *others):
            task.cancel()
    for task in (restarting, *others):
        if task.done():
            task.result()


async def _restart(stop: asyncio.Event, services: Services, screen: LiveStatus) -> None:
    child_ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, child_ended.set)
    while not stop.is_set():
        for sentence in await unless_stopped(stop, services.restart_ended) or ():
            screen.say(sentence)
        services.raise_for_failures()
        await _pause(stop, child_ended)


async def _display(
    stop: asyncio.Event,
    services: Services,
    screen: LiveStatus,
    pool: ConnectionPool,
    revivals: Sequence[Revival],
) -> None:
    """Show the state until the stop; a database that does not answer is asked one question at a time."""
    asked: asyncio.Future[dict[str, Any] | None] | None = None
    while not stop.is_set():
        asked = asked or asyncio.ensure_future(unless_stopped(stop, services.feed_status, pool))
        await asyncio.wait({asked}, timeout=ANSWER_SECONDS)
        if stop.is_set():
            return
        status, asked = (asked.result(), None) if asked.done() else (None, asked)
        problems = [revival.problem for revival in revivals if revival.problem]
        screen.show(status, [*services.notes(), *problems])
        await stopped_within(stop, REFRESH_SECONDS)


async def _show(stop: asyncio.Event, services: Services, screen: LiveStatus, pool: ConnectionPool) -> None:
    status = await unless_stopped(stop, services.feed_status, pool)
    if not stop.is_set():
        screen.show(status, services.notes())


async def _pause(stop: asyncio.Event, child_ended: asyncio.Event) -> None:
    """Wait for the next update: at once when a child has ended."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, child_ended)]
    await asyncio.wait(waits, timeout=REFRESH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    child_ended.clear()


def _prefect_lines(settings: Settings) -> list[str]:
    """Return the address, with the password where a person reads it: what is not a terminal is kept as a log."""
    if sys.stdout.isatty():
        return [f"Prefect     {sign_in_address(settings)}"]
    return [
        f"Prefect     {server_address(settings)}",
        f"            The password is in {password_file(settings)}.",
    ]


def _heading(settings: Settings, dsn: str, *, prefect: bool) -> list[str]:
    source = "simulated (set TWELVEDATA_API_KEY for live data)" if settings.simulated else settings.feed_url
    return [
        *(_prefect_lines(settings) if prefect else []),
        *([f"{GRAFANA}     {grafana_address(settings)}"] if find_grafana(settings) else []),
        f"Database    {describe(dsn)}",
        f'            psql "$({program_name()} dsn)"',
        f"Feed        {source}",
        *(["            Prices are made up; the simulated market never closes."] if settings.simulated else []),
        f"Logs        {settings.home / 'logs'}   Ctrl-C stops everything.",
        f"Open http://127.0.0.1:{settings.web_port}/",
    ]
