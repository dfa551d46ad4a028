"""The Prefect server and worker of `candleworks up`. This module starts them and never imports Prefect."""

import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import certifi
import psutil

from candleworks.database.server import PrefectDatabase, prefect_database
from candleworks.private_files import create_private_directory, private_directory, replace_private
from candleworks.processes import Child, end_processes, python_module
from candleworks.settings import Settings

DATABASE_VARIABLE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
SERVER = "Prefect server"
WORKER = "Prefect worker"
WORKER_MODULE = "flows.support.worker"
STREAM_MODULE = "flows.support.ingest"
RUN_MODULE = "flows.support.engine"
RUN_STOP_SECONDS = 0.5
# A run leaves 80 kB in Prefect's database, most of it events; there are 1,900 runs a day.
KEPT_RUNS_SECONDS = 3 * 86_400
KEPT_EVENTS = "PT12H"
VACUUM_SECONDS = 3_600


def server_address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.prefect_port}/"


def password_file(settings: Settings) -> Path:
    return settings.home / "prefect" / "password"


def password(settings: Settings) -> str:
    """Return what Prefect's server asks for: that of the environment, else one of the home's own, made at first use.

    It has the form USER:PASSWORD. Only the owner of the home can read its file.
    """
    if given := os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or os.environ.get("PREFECT_API_AUTH_STRING"):
        return given
    file = password_file(settings)
    create_private_directory(file.parent)
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as whole:  # is private
            whole.write(f"candleworks:{secrets.token_urlsafe(24)}")
            whole.flush()
            with contextlib.suppress(FileExistsError):
                os.link(whole.name, file)
    return file.read_text()


def sign_in_address(settings: Settings) -> str:
    """Return the address that signs a browser in; it is as secret as the password."""
    return f"{server_address(settings)}#{quote(password(settings), safe=':')}"


def status_file(settings: Settings) -> Path:
    return settings.home / "prefect" / "feeds.json"


@contextlib.contextmanager
def prefect_state(settings: Settings, dsn: str) -> Iterator[PrefectDatabase]:
    """Yield the database that PREFECT_SERVER_DATABASE_CONNECTION_URL names, else what prefect_database() does."""
    if named := os.environ.get(DATABASE_VARIABLE):
        yield PrefectDatabase(named, settings)
    else:
        with prefect_database(settings, dsn) as found:
            yield found


def prefect_server(settings: Settings, database_url: str, logs: Path) -> Child:
    """Return the server; its state is in the database at `database_url`."""
    environment = {
        **prefect_environment(settings),
        DATABASE_VARIABLE: database_url,
        "PREFECT_SERVER_API_AUTH_STRING": password(settings),
    }
    private_directory(settings.home / "prefect")
    command = python_module("flows.support.server")
    return Child(SERVER, command, environment, logs / "prefect-server.log")


def prefect_worker(settings: Settings, environment: Mapping[str, str | None], logs: Path) -> Child:
    command = python_module(WORKER_MODULE, "--deploy", "--status", str(status_file(settings)))
    return Child(WORKER, command, {**prefect_environment(settings), **environment}, logs / "prefect-worker.log")


def early_stream(settings: Settings, feed: str, environment: Mapping[str, str | None], logs: Path) -> Child:
    """Return the process that streams a feed until Prefect runs it, and becomes its first flow run."""
    command = python_module(STREAM_MODULE, feed)
    environment = {**prefect_environment(settings), **environment}
    return Child(f"ingest of {feed}", command, environment, logs / f"ingest-{feed}.log", terminal_exit=True)


def prefect_environment(settings: Settings) -> dict[str, str | None]:
    """Return the settings of our server and worker; a profile or API key of another server must not leak into them."""
    return {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": f"{server_address(settings)}api",
        "PREFECT_API_AUTH_STRING": password(settings),
        "PREFECT_API_SSL_CERT_FILE": str(_one_authority(settings)),
        "PREFECT_API_KEY": None,
        "PREFECT_PROFILE": None,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(settings.prefect_port),
        "PREFECT_SERVER_UI_API_URL": f"{server_address(settings)}api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": server_address(settings).rstrip("/"),  # by default any page
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
        # Leases kept in memory would be lost when the server restarts, and the runs that hold them would be cancelled.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(KEPT_RUNS_SECONDS),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": str(VACUUM_SECONDS),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": KEPT_EVENTS,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "candleworks",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PYTHONDONTWRITEBYTECODE": None,  # bytecode lets runs start three seconds sooner
        "CANDLEWORKS_HOME": str(settings.home),
    }


def _one_authority(settings: Settings) -> Path:
    """Return a file with one certificate authority, for clients of an API that has no TLS.

    Prefect makes some eight clients in each run, and each would load all authorities: 40 ms of a core and 0.7 MB.
    """
    file = settings.home / "prefect" / "authority.pem"
    if not file.exists():
        end = "-----END CERTIFICATE-----\n"
        replace_private(file, (certifi.contents().partition(end)[0] + end).encode())
    return file


def runs_left_behind(home: str | None) -> list[psutil.Process]:
    """Return the flow run processes of a home whose worker was killed; without it they may run for ever."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if RUN_MODULE not in process.cmdline() or process.environ().get("CANDLEWORKS_HOME") != home:
                continue
            if not any(WORKER_MODULE in parent.cmdline() for parent in process.parents()):
                found.append(process)
    return found


def end_left_behind(settings: Settings) -> None:
    """End the processes of flow runs whose worker was killed."""
    end_processes(runs_left_behind(str(settings.home)), RUN_STOP_SECONDS)


def clear_feed_status(settings: Settings) -> None:
    """Remove the feed status that an earlier worker wrote."""
    status_file(settings).unlink(missing_ok=True)


def stopped_by_operator(settings: Settings) -> set[str]:
    """Return the feeds that an operator has stopped in Prefect, as far as the worker knew: they are not started."""
    return {feed for feed, state in _feeds(settings).items() if state["stopped"]}


def has_feed_status(settings: Settings) -> bool:
    """Whether the worker has looked at the feeds since the start."""
    return status_file(settings).exists()


def stopped_feeds(settings: Settings) -> dict[str, str]:
    """Return the feeds that are not streaming, each with the reason, as reported by the worker."""
    return {feed: state["note"] for feed, state in _feeds(settings).items() if state["note"]}


def failed_feeds(settings: Settings) -> dict[str, str]:
    """Return the feeds that cannot stream until a person changes something, each with the reason."""
    return {feed: why for feed, why in stopped_feeds(settings).items() if _feeds(settings)[feed]["state"] == "Refused"}


def _feeds(settings: Settings) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(status_file(settings).read_text())
    except FileNotFoundError:
        return {}
    return found
