"""Databases that do not answer: stopped processes, a locked table, a network that swallows everything."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.processes import find_process
from tests.acceptance.proxy import Proxy


@dataclass
class StallingServer:
    """A server behind a proxy; `dsn` leads through the proxy, `server.dsn` past it."""

    server: EmbeddedServer
    proxy: Proxy

    @property
    def dsn(self) -> str:
        return make_conninfo(self.server.dsn, host="127.0.0.1", port=self.proxy.port)

    @property
    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.server.data / "postmaster.pid").read_text().split()[0]))


@contextmanager
def stalling_server(home: Path) -> Iterator[StallingServer]:
    server = EmbeddedServer(home)
    with server.use(), Proxy(server.sockets / ".s.PGSQL.5432").running() as proxy:
        yield StallingServer(server, proxy)


@contextmanager
def backends_stopped(stalling: StallingServer) -> Iterator[None]:
    """The processes that serve our connections stand still; new connections are served."""
    with connect(stalling.server.dsn) as connection:
        ours = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'candleworks %' AND pid <> pg_backend_pid()"
        ).fetchall()
    with _stopped([found for (pid,) in ours if (found := find_process(pid))]):
        yield


@contextmanager
def server_stopped(found: StallingServer) -> Iterator[None]:
    """All of its processes stand still, as on a machine that swaps or a disk that hangs."""
    with _stopped([found.postmaster, *found.postmaster.children()]):
        yield


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    assert processes
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                os.kill(process.pid, signal.SIGCONT)


@contextmanager
def table_locked(found: StallingServer) -> Iterator[None]:
    """Another session holds the strongest lock on the ticks."""
    with connect(found.server.dsn, autocommit=False) as connection:
        connection.execute("LOCK TABLE stocks_real_time IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def schema_locked(found: StallingServer) -> Iterator[None]:
    """Another session holds the strongest lock on the list of migrations."""
    with connect(found.server.dsn, autocommit=False) as connection:
        connection.execute("LOCK TABLE candleworks_migrations IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def packets_dropped(found: StallingServer) -> Iterator[None]:
    """Connections stay open, and nothing arrives on either side."""
    found.proxy.stall(True)
    try:
        yield
    finally:
        found.proxy.stall(False)


STALLS: list[Callable[[StallingServer], AbstractContextManager[None]]] = [
    backends_stopped,
    server_stopped,
    table_locked,
    packets_dropped,
]
