"""The processes that `candleworks up` runs: what they are, supervising them, and why they ended."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from candleworks.alerts.parts import save_parts
from candleworks.database.connection import ConnectionPool, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.database.server import PrefectDatabase
from candleworks.errors import CandleworksError, TerminalError, TransientError
from candleworks.processes import Child, listener_of, python_module, stop_all
from candleworks.runtime.database import Revival
from candleworks.runtime.grafana import find_grafana
from candleworks.runtime.prefect import (
    SERVER,
    WORKER,
    clear_feed_status,
    early_stream,
    end_left_behind,
    failed_feeds,
    has_feed_status,
    prefect_server,
    prefect_worker,
    stopped_by_operator,
    stopped_feeds,
)
from candleworks.settings import Settings
from candleworks.simulate import RunningSimulator
from candleworks.storage.feeds import confirm_stops
from candleworks.storage.monitoring import read_status
from candleworks.threads import in_thread

# Everything, the database too, ends within ten seconds; after five at most, feeds keep on disk what is not stored.
STREAM_STOP_SECONDS = 5.5
STOP_SECONDS = 2.0
OUTLASTING_STOP_SECONDS = 1.0
CONFIRM_SECONDS = 0.5
POOL_WAIT_SECONDS = 2.0
SIMULATOR = "simulated feed"
PREFECT_STARTING = "Prefect is starting: the feeds stream already, and become flow runs when it has."


class Services:
    """The services of `up`: those that the first candle needs start first, the others once ticks are stored.

    `prefect` is where Prefect keeps its state; None where the feeds are plain processes.
    """

    def __init__(self, settings: Settings, *, prefect: bool) -> None:
        """Raise CandleworksError when a port that is needed is in use."""
        _check_port(settings.web_port, "the chart page", "CANDLEWORKS_WEB_PORT")
        if prefect:
            _check_port(settings.prefect_port, "Prefect", "CANDLEWORKS_PREFECT_PORT")
        self.settings = settings
        self.children: list[Child] = []
        self._early: dict[str, Child] = {}
        self._prefect = prefect
        self._prefect_database: PrefectDatabase | None = None
        self._stopped_by_operator = stopped_by_operator(settings)
        self._environment: dict[str, str | None] = {}
        self._logs = settings.home / "logs"
        clear_feed_status(settings)

    def start_simulator(self) -> None:
        """Start the simulated feed, which needs no database, where there is no other feed."""
        if self.settings.simulated:
            simulator = RunningSimulator("127.0.0.1", _free_port())
            self._environment = {
                "CANDLEWORKS_FEED_URL": simulator.feed_url,
                "CANDLEWORKS_REST_URL": simulator.rest_url,
                "CANDLEWORKS_SIMULATED": "true",
            }
            self._start(_simulated_feed(self.settings, simulator, self._logs))

    def start_streaming(self) -> None:
        """Start the feeds, except those that an operator has stopped in Prefect, and the chart page."""
        for feed in self.settings.feeds:
            if not self._prefect:
                self._start(_ingest(feed.name, self._environment, self._logs))
            elif feed.name not in self._stopped_by_operator:
                self._early[feed.name] = early_stream(self.settings, feed.name, self._environment, self._logs)
                self._start(self._early[feed.name])
        self._start(Child("chart page", _command("serve"), self._environment, self._logs / "serve.log"))

    def start_others(self, prefect_database: PrefectDatabase | None) -> None:
        """Start what the first candle does not need: calendars, Prefect, alerts and Grafana."""
        self._prefect_database = prefect_database
        self._start(Child("computation of calendars", _command("migrate"), {}, self._logs / "calendars.log", once=True))
        if prefect_database:
            self._start(prefect_server(self.settings, prefect_database.url, self._logs))
            self._start(prefect_worker(self.settings, self._environment, self._logs))
        self._start(Child("alert watch", _command("alerts", "watch"), self._environment, self._logs / "alerts.log"))
        if find_grafana(self.settings):
            self._start(Child("Grafana server", _command("grafana"), {}, self._logs / "grafana.log"))

    def _start(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def restart_ended(self) -> list[str]:
        """Restart what has ended, and write down for the watchdog what keeps ending; return a sentence for each.

        The streams that started before Prefect are its flow runs once its worker has looked at the feeds.
        """
        for early in self._early.values():
            early.once = has_feed_status(self.settings)
        restarted = [
            f"The {child.name} {child.ending} and was restarted." for child in self.children if child.restart_if_ended()
        ]
        with contextlib.suppress(OSError):  # the next round tries again
            save_parts(self.settings, self._parts())
        return restarted

    def _parts(self) -> dict[str, str | None]:
        """Return each part that is to run all the time, with what is wrong with those that keep ending."""
        return {
            child.name: f"it {child.ending or 'has stopped'}: {child.last_line}" if child.keeps_ending else None
            for child in self.children
            if not child.once
        }

    def revivals(self, report: Callable[[str], object]) -> list[Revival]:
        """Return what restarts the embedded servers: ours, and that of Prefect's database where it is another one."""
        servers = [self.settings]
        if self._prefect_database and self._prefect_database.server is not self.settings:
            servers.append(self._prefect_database.server)
        return [Revival(server, report) for server in servers]

    @property
    def streams(self) -> list[Child]:
        """The processes that stream feeds."""
        return [child for child in self.children if child.terminal_exit]

    def raise_for_failures(self) -> None:
        """Raise TerminalError when no feed is left that can stream."""
        streams = self.streams
        if len(streams) == len(self.settings.feeds) and all(child.failed for child in streams):
            raise TerminalError(f"The {streams[0].name} has stopped: {streams[0].last_line} (log: {streams[0].log})")
        failed = failed_feeds(self.settings)
        worker = next((child for child in self.children if child.name == WORKER), None)
        if worker and failed and len(failed) == len(self.settings.feeds):
            feed, reason = next(iter(failed.items()))
            raise TerminalError(f"The ingest of {feed} has stopped: {reason} (log: {worker.log})")

    def notes(self) -> list[str]:
        """Return what a person should know: services that keep ending, and feeds that are not streaming."""
        notes = [f"The {child.note}" for child in self.children if child.note]
        if self._prefect and not has_feed_status(self.settings):
            notes.append(PREFECT_STARTING)
        return notes + [
            f"The ingest of {feed} has stopped: {reason}"
            for feed, reason in stopped_feeds(self.settings).items()
            if not (feed in self._early and self._early[feed].runs)
        ]

    def feed_status(self, pool: ConnectionPool) -> dict[str, Any] | None:
        """Return what read_status() does; None while the database is unavailable."""
        dsn = self.settings.dsn.get_secret_value() if self.settings.dsn else ""
        try:
            with transient_errors(dsn), pool.connection(POOL_WAIT_SECONDS) as connection:
                return read_status(connection, {feed.name: feed.names for feed in self.settings.feeds})
        except TransientError:
            return None

    def newest_tick(self, pool: ConnectionPool) -> datetime | None:
        """Return the time of the newest stored tick; None where there is none, or no database at the moment."""
        status = self.feed_status(pool)
        times = [feed["last_time"] for feed in status["feeds"] if feed["last_time"]] if status else []
        return max(times, default=None)

    def stop(self) -> None:
        """Stop the Prefect server and the simulated feed last: flow runs report to the one, and read from the other."""
        outlasting = [child for child in self.children if child.name in {SERVER, SIMULATOR}]
        streams = [child for child in self.children if child.name == WORKER or child.terminal_exit]
        for stream in streams:
            stream.terminate()
        stop_all([child for child in self.children if child not in outlasting + streams], STOP_SECONDS)
        stop_all(streams, STREAM_STOP_SECONDS - STOP_SECONDS)
        if self._prefect:
            end_left_behind(self.settings)
        stop_all(outlasting, OUTLASTING_STOP_SECONDS)

    async def confirm_stop(self, dsn: str) -> None:
        """Record that a person stopped the feeds: their processes only know that `up` ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_SECONDS):
                await in_thread(self._confirm_stop, dsn)

    def _confirm_stop(self, dsn: str) -> None:
        reason = f"candleworks up was stopped on {socket.gethostname()}"
        with (
            contextlib.suppress(TransientError),
            transient_errors(dsn),
            connect(dsn, "up", profile=WRITER) as connection,
        ):
            confirm_stops(connection, [feed.name for feed in self.settings.feeds], reason)


def _simulated_feed(settings: Settings, simulator: RunningSimulator, logs: Path) -> Child:
    symbols = dict.fromkeys(ticker for feed in settings.feeds for ticker in feed.tickers)
    command = _command("simulate", "--port", str(simulator.port), "--symbols", ",".join(symbols))
    command += ["--rate", str(settings.simulator.rate), "--seed", str(settings.simulator.seed)]
    return Child(SIMULATOR, command, {}, logs / "simulate.log")


def _ingest(feed: str, environment: Mapping[str, str | None], logs: Path) -> Child:
    command = _command("ingest", "--feed", feed)
    return Child(f"ingest of {feed}", command, environment, logs / f"ingest-{feed}.log", terminal_exit=True)


def _command(*arguments: str) -> list[str]:
    return python_module("candleworks", *arguments)


def _check_port(port: int, purpose: str, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            owner = listener_of(port)
            by = f" by process {owner.pid} ({owner.name()})" if owner else ""
            raise CandleworksError(
                f"Port {port} for {purpose} is in use{by}: stop the process that listens on it, or set {variable}."
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
