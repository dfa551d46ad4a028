"""The processes that `candleworks up` runs: what they are, supervising them, and why they ended."""

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candleworks.database.connection import ConnectionPool, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.database.server import revive_database
from candleworks.errors import CandleworksError, TerminalError, TransientError
from candleworks.processes import Child, python_module, stop_all
from candleworks.runtime.grafana import find_grafana
from candleworks.runtime.prefect import (
    WORKER,
    clear_feed_status,
    end_left_behind,
    failed_feeds,
    prefect_server,
    prefect_worker,
    stopped_feeds,
)
from candleworks.settings import Settings
from candleworks.simulate import RunningSimulator
from candleworks.storage.feeds import confirm_stops
from candleworks.storage.monitoring import read_status

STOP_SECONDS = 3.5
WORKER_STOP_SECONDS = 9.5


@dataclass(frozen=True)
class Services:
    """The services of `up`, in the order in which they start."""

    settings: Settings
    children: list[Child]

    @classmethod
    def of(cls, settings: Settings, *, prefect: bool) -> "Services":
        """Choose the services; CandleworksError when a port that they need is in use."""
        _check_port(settings.web_port, "the chart page", "CANDLEWORKS_WEB_PORT")
        if prefect:
            _check_port(settings.prefect_port, "Prefect", "CANDLEWORKS_PREFECT_PORT")
        clear_feed_status(settings)
        return cls(settings, _children(settings, prefect=prefect))

    def start(self, *, needing_database: bool) -> None:
        """Start those that need a prepared database, or those that do not."""
        for child in self.children:
            if child.needs_database is needing_database:
                child.start()

    def restart_ended(self) -> list[str]:
        """Restart what has ended, the embedded database too; return a sentence for each."""
        restarted = [
            f"The {child.name} {child.ending} and was restarted." for child in self.children if child.restart_if_ended()
        ]
        with contextlib.suppress(TransientError):  # it is still recovering
            if revive_database(self.settings):
                restarted.append("The database server died and was restarted.")
        return restarted

    def raise_for_failures(self) -> None:
        """Raise TerminalError when no feed is left that can stream."""
        streams = [child for child in self.children if child.terminal_exit]
        if streams and all(child.failed for child in streams):
            raise TerminalError(f"The {streams[0].name} has stopped: {streams[0].last_line} (log: {streams[0].log})")
        failed = failed_feeds(self.settings)
        worker = next((child for child in self.children if child.name == WORKER), None)
        if worker and failed and len(failed) == len(self.settings.feeds):
            feed, reason = next(iter(failed.items()))
            raise TerminalError(f"The ingest of {feed} has stopped: {reason} (log: {worker.log})")

    def notes(self) -> list[str]:
        """Return what a person should know: services that keep ending, and feeds that are not streaming."""
        notes = [f"The {child.note}" for child in self.children if child.note]
        stopped = stopped_feeds(self.settings)
        return notes + [f"The ingest of {feed} has stopped: {reason}" for feed, reason in stopped.items()]

    def feed_status(self, pool: ConnectionPool) -> dict[str, Any] | None:
        """Return what read_status() does; None while the database is unavailable."""
        dsn = self.settings.dsn.get_secret_value() if self.settings.dsn else ""
        try:
            with transient_errors(dsn), pool.connection() as connection:
                return read_status(connection, {feed.name: feed.names for feed in self.settings.feeds})
        except TransientError:
            return None

    def stop(self) -> None:
        """Stop the worker first: its runs report to the Prefect server, and the simulated feed must outlive them."""
        workers = [child for child in self.children if child.name == WORKER]
        stop_all(workers, WORKER_STOP_SECONDS)
        if workers:
            end_left_behind(self.settings)
        stop_all(self.children, STOP_SECONDS)

    def confirm_stop(self, dsn: str) -> None:
        """Record that a person stopped the feeds: their processes only know that `up` ended."""
        reason = f"candleworks up was stopped on {socket.gethostname()}"
        with (
            contextlib.suppress(TransientError),
            transient_errors(dsn),
            connect(dsn, "up", profile=WRITER) as connection,
        ):
            confirm_stops(connection, [feed.name for feed in self.settings.feeds], reason)


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
        children.append(_simulated_feed(settings, simulator, logs))
    if prefect:  # it takes longest to start
        children += [prefect_server(settings, logs), prefect_worker(settings, environment, logs)]
    else:
        children += [_ingest(feed.name, environment, logs) for feed in settings.feeds]
    children.append(Child("chart page", _command("serve"), environment, logs / "serve.log"))
    children.append(Child("alert watch", _command("alerts", "watch"), environment, logs / "alerts.log"))
    if find_grafana(settings):
        children.append(Child("Grafana server", _command("grafana"), {}, logs / "grafana.log"))
    return children


def _simulated_feed(settings: Settings, simulator: RunningSimulator, logs: Path) -> Child:
    symbols = dict.fromkeys(ticker for feed in settings.feeds for ticker in feed.tickers)
    command = _command("simulate", "--port", str(simulator.port), "--symbols", ",".join(symbols))
    command += ["--rate", str(settings.simulator.rate), "--seed", str(settings.simulator.seed)]
    return Child("simulated feed", command, {}, logs / "simulate.log", needs_database=False)


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
            raise CandleworksError(
                f"Port {port} for {purpose} is in use: stop the process that listens on it, or set {variable}."
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
