"""The embedded PostgreSQL server: started by the first process that needs it, stopped by the last one.

Several processes share one server, and any of them may be killed at any time. Each holds a shared file lock while it
lives, which the kernel releases however it dies. docs/decisions/0003-embedded-server.md explains why.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

import psutil

from candleworks import clock
from candleworks.database.binaries import (
    EXTENSION_PATH_VERSION,
    Binaries,
    CommandFailedError,
    check_access,
    check_build,
    open_path_to,
    server_configuration,
    server_uid,
    service_user,
)
from candleworks.database.connection import connect
from candleworks.database.profiles import ADMIN
from candleworks.errors import ConfigurationError, TerminalError, TransientError
from candleworks.private_files import create_private_directory, open_private
from candleworks.processes import find_process, is_alive, wait_until

SUPERUSER = "postgres"
DATABASE = "candleworks"
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 60
KILL_TIMEOUT_SECONDS = 5
PID_FILE_TIMEOUT_SECONDS = 2
LEFTOVERS_TIMEOUT_SECONDS = 10
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux and 104 on macOS
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # needs no quoting in a URL or a configuration file


class EmbeddedServer:
    """The server whose data lives in `home/postgres`.

    `timescaledb` names a directory that holds `lib/` and `share/extension/` of a TimescaleDB build for its version of
    PostgreSQL. `postgres` names the directory of an installed PostgreSQL; None is the wheel's.
    """

    def __init__(self, home: Path, timescaledb: Path | None = None, postgres: Path | None = None) -> None:
        self.home = home
        self.data = home / "postgres"
        self.timescaledb = timescaledb
        self._postgres = postgres
        self._syncing: threading.Thread | None = None

    @property
    def sockets(self) -> Path:
        """The directory of the Unix socket: the data directory, or a private one where that path is too long."""
        if len(str(self.data)) <= MAX_SOCKET_PATH - len("/.s.PGSQL.5432") and PLAIN_PATH.fullmatch(str(self.data)):
            return self.data
        name = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"candleworks-{os.getuid()}-{name}"

    @property
    def dsn(self) -> str:
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self.sockets}"

    @contextlib.contextmanager
    def use(self, *, keep_running: bool = False, stop_seconds: float = STOP_TIMEOUT_SECONDS) -> Iterator[str]:
        """Yield a connection string; the last user stops the server, unless it said `keep_running`; see stop()."""
        users = self._join()
        try:
            yield self.dsn
        finally:
            if self._syncing:
                self._syncing.join()
            self._leave(users, None if keep_running else stop_seconds)

    def revive(self) -> bool:
        """Restart the server if it crashed while in use; return whether it had.

        TerminalError when it ends again at once. Whoever leaves meanwhile does not wait for its recovery.
        """
        deadline = clock.monotonic() + LEFTOVERS_TIMEOUT_SECONDS
        if self._is_running():
            return False
        while self._start_again():
            wait_until(lambda: self._accepts_connections() or not self._is_running(), START_TIMEOUT_SECONDS)
            if self._is_running():
                return True
            if clock.monotonic() > deadline:
                raise TerminalError(
                    f"The embedded PostgreSQL in {self.data} ended again at once: see the newest file in"
                    f" {self.data / 'log'}."
                )
        return False

    def _start_again(self) -> bool:
        """Start the server unless it runs or has no users any more; return whether it was started, without waiting."""
        with self._exclusive():
            if self._is_running() or not self._has_users():
                return False
            self._remove_stale_pid_file()
            self._configure()
            self._run("pg_ctl", "start", "-W", "-D", self.data)
            wait_until(self._is_running, PID_FILE_TIMEOUT_SECONDS)
            return True

    def _has_users(self) -> bool:
        with (self.home / "postgres.users").open("a") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def _join(self) -> IO[str]:
        check_build(self.timescaledb)
        create_private_directory(self.home)
        self._check_owner()
        with self._exclusive():
            self._start()
            users = open(self.home / "postgres.users", "a", opener=open_private)  # noqa: SIM115 - see _leave()
            fcntl.flock(users, fcntl.LOCK_SH)
        return users

    def _leave(self, users: IO[str], stop_seconds: float | None) -> None:
        with self._exclusive(), users:
            fcntl.flock(users, fcntl.LOCK_UN)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if stop_seconds is not None:
                self.stop(stop_seconds)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with open(self.home / "postgres.lock", "a", opener=open_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        if self._accepts_connections():
            return
        self._check_binaries()
        self._binaries.open_to_service_user()
        new = self._stored_version is None
        if new:
            self._initialise()
        self._configure()
        self._launch()
        if not wait_until(self._accepts_connections, START_TIMEOUT_SECONDS):
            raise TransientError(
                f"The embedded PostgreSQL in {self.data} did not accept connections within"
                f" {START_TIMEOUT_SECONDS} s: see the newest file in {self.data / 'log'}."
            )
        self._create_database()
        if new:
            self._syncing = threading.Thread(target=self._run, args=["initdb", "--sync-only", "-D", self.data])
            self._syncing.start()

    def _launch(self) -> None:
        """Start the server; leftovers of one that was killed may prevent that for a moment."""
        pid_file = self.data / "postmaster.pid"
        leftovers = pid_file.exists()
        self._remove_stale_pid_file()
        deadline = clock.monotonic() + LEFTOVERS_TIMEOUT_SECONDS
        while True:
            try:
                return self._run("pg_ctl", "start", "-w", "-t", START_TIMEOUT_SECONDS, "-D", self.data)
            except TerminalError as error:
                if self._accepts_connections():
                    return None
                leftovers = leftovers or pid_file.exists() or "lock file" in str(error)
                if clock.monotonic() > deadline or not leftovers:
                    raise
            time.sleep(0.2)

    def stop(self, seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Stop the server if it runs; open transactions are rolled back.

        One that has not stopped after so many seconds is killed, and recovers at its next start.
        """
        server = self._process_of_pid_file()
        if server is None or not self._is_server(server):
            return
        self._run("pg_ctl", "stop", "-W", "-m", "fast", "-D", self.data)
        if not wait_until(lambda: not is_alive(server), seconds):
            for process in (server, *server.children()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            wait_until(lambda: not is_alive(server), KILL_TIMEOUT_SECONDS)
        if self.sockets != self.data:
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def _process_of_pid_file(self) -> psutil.Process | None:
        """Return the process whose id is in postmaster.pid, whether it is the server or not; None when it is gone."""
        try:
            return find_process(int((self.data / "postmaster.pid").read_text().partition("\n")[0]))
        except (FileNotFoundError, ValueError):
            return None

    def _is_running(self) -> bool:
        process = self._process_of_pid_file()
        return process is not None and self._is_server(process)

    def _is_server(self, process: psutil.Process) -> bool:
        try:
            return str(self.data) in process.cmdline()
        except psutil.NoSuchProcess:
            return False

    def _remove_stale_pid_file(self) -> None:
        """Remove postmaster.pid if its process id was reused since, as after a restart of the machine or container."""
        process = self._process_of_pid_file()
        if process is not None and not self._is_server(process):
            (self.data / "postmaster.pid").unlink()

    def _initialise(self) -> None:
        """Create the data directory under another name first: an incomplete one must never be used."""
        for leftover in self.home.glob("postgres.new*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new", dir=self.home))
        self._hand_over(fresh)
        # What is written here is synced to disk once the server runs: on a busy disk that takes seconds.
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", "-D", fresh, "-U", SUPERUSER, *options)
        with (fresh / "postgresql.conf").open("a") as configuration:
            configuration.write("include 'candleworks.conf'\n")
        fresh.rename(self.data)

    def _configure(self) -> None:
        text = server_configuration(self.sockets, self.timescaledb)
        (self.data / "candleworks.conf").write_text(text)
        (self.data / "candleworks.conf").chmod(0o644)
        if self.sockets != self.data:
            self._create_socket_directory()

    def _create_socket_directory(self) -> None:
        """Create the socket's directory in the shared temporary one, where another user may have created it."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        found = self.sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.getuid(), server_uid()}:
            raise TerminalError(
                f"{self.sockets}, the socket directory of the embedded PostgreSQL, is owned by another user:"
                " remove it, or set CANDLEWORKS_HOME to a shorter path."
            )
        if found.st_uid != server_uid():
            os.chown(self.sockets, server_uid(), -1)

    def _create_database(self) -> None:
        with connect(self._maintenance_dsn, "embedded server", profile=ADMIN) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")

    @property
    def _maintenance_dsn(self) -> str:
        return f"postgresql://{SUPERUSER}@/postgres?host={self.sockets}&connect_timeout=5"

    def _accepts_connections(self) -> bool:
        try:
            connect(self._maintenance_dsn, "embedded server", profile=ADMIN).close()
        except TransientError:
            return False
        return True

    def _hand_over(self, data: Path) -> None:
        """Make the server's user own the data."""
        if server_uid() != os.getuid():
            open_path_to(data)
            os.chown(data, server_uid(), -1)

    @cached_property
    def _binaries(self) -> Binaries:
        return Binaries(self._postgres)

    def _run(self, program: str, *arguments: object) -> None:
        try:
            self._binaries.run(program, *arguments)
        except CommandFailedError as error:
            raise TerminalError(
                f"{error}: see the newest file in {self.data / 'log'}, or set CANDLEWORKS_HOME to an empty directory."
            ) from error

    def _check_owner(self) -> None:
        if self.data.exists() and (owner := self.data.stat().st_uid) != server_uid():
            raise TerminalError(
                f"The embedded PostgreSQL in {self.data} is owned by user {_name_of(owner)}, not by"
                f" {_name_of(server_uid())}: set CANDLEWORKS_HOME to a directory of your own."
            )

    def _check_binaries(self) -> None:
        """Refuse programs that cannot read the data, or cannot find the TimescaleDB build."""
        version, stored = self._binaries.major_version, self._stored_version
        if stored is not None and stored != version:
            raise ConfigurationError(
                f"The embedded PostgreSQL in {self.data} has data of version {stored}, and"
                f" {self._binaries.directory} is version {version}: set CANDLEWORKS_POSTGRES to the directory of"
                f" PostgreSQL {stored}, or set CANDLEWORKS_HOME to an empty directory."
            )
        if self.timescaledb and version < EXTENSION_PATH_VERSION:
            raise ConfigurationError(
                f"CANDLEWORKS_TIMESCALEDB needs PostgreSQL {EXTENSION_PATH_VERSION} or newer, and"
                f" {self._binaries.directory} is version {version}: unset one of CANDLEWORKS_TIMESCALEDB and"
                " CANDLEWORKS_POSTGRES."
            )
        named = {"CANDLEWORKS_POSTGRES": self._postgres, "CANDLEWORKS_TIMESCALEDB": self.timescaledb}
        for variable, directory in named.items():
            if directory is not None:
                check_access(directory, variable, service_user())

    @property
    def _stored_version(self) -> int | None:
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
