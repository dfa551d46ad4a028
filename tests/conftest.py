"""One real server per engine and test run, one migrated template database each, one clone of it per test."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine, engine_of
from candleworks.database.migrations import migrate
from candleworks.settings import Settings, load_settings

TIMESCALEDB_BUILD = Path("~/.cache/candleworks/timescaledb-pg18").expanduser()
SHARED_MEMORY = Path("/dev") / "shm"
NEEDED_MEMORY_BYTES = 6 * 2**30
_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Give every run a directory of its own.

    Runs of one user share /tmp/pytest-of-USER, and each start closes it to others: also to the user that runs the
    embedded server for root.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # commands that are started take it for ignored under nohup
    if not config.option.basetemp:
        config.option.basetemp = tempfile.mkdtemp(prefix="candleworks-tests-", dir=memory_directory())
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for processes that they have started."""
    return (os.cpu_count() or 1) + 1


def memory_directory() -> Path | None:
    """Shared memory where it has room and runs programs: on a disk, cloning a template takes 0.4 s, in memory 0.03 s.

    None is the system's directory for temporary files; TMPDIR decides where it is set.
    """
    if "TMPDIR" in os.environ or not SHARED_MEMORY.is_dir():
        return None
    found = os.statvfs(SHARED_MEMORY)
    runs_programs = not found.f_flag & os.ST_NOEXEC
    return SHARED_MEMORY if runs_programs and found.f_bavail * found.f_frsize >= NEEDED_MEMORY_BYTES else None


@pytest.fixture(scope="session", params=list(Engine))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn; a test about one of them is parametrised with `engine` indirectly."""
    return Engine(request.param)


@pytest.fixture(scope="session")
def session_stack() -> Iterator[ExitStack]:
    """What runs until the end of the test run: fixtures that depend on `engine` end each time the engine changes."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def engine_servers() -> dict[Engine, str]:
    """The server of each engine that a test has needed."""
    return {}


@pytest.fixture(scope="session")
def server_dsn(
    engine: Engine,
    session_stack: ExitStack,
    engine_servers: dict[Engine, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A server of this engine for the test run: an embedded one, or the TimescaleDB that the environment names."""
    if engine not in engine_servers:
        named = os.environ.get("CANDLEWORKS_TEST_TIMESCALE_DSN") if engine is Engine.TIMESCALE else None
        build = timescaledb_build() if engine is Engine.TIMESCALE and not named else None
        engine_servers[engine] = named or session_stack.enter_context(
            EmbeddedServer(tmp_path_factory.mktemp(engine), build).use()
        )
    return engine_servers[engine]


def timescaledb_build() -> Path:
    """The TimescaleDB build to test with; skips the test when there is none."""
    build = Path(os.environ.get("CANDLEWORKS_TIMESCALEDB") or TIMESCALEDB_BUILD)
    if not (build / "share/extension/timescaledb.control").is_file():
        pytest.skip(
            "no TimescaleDB: build 2.29 for PostgreSQL 18 into ~/.cache/candleworks/timescaledb-pg18 (lib/ and"
            " share/extension/), or set CANDLEWORKS_TIMESCALEDB or CANDLEWORKS_TEST_TIMESCALE_DSN"
        )
    return build


def can_import(module: str, **identity: Any) -> bool:
    """Tell whether another user, given as `subprocess.run` takes it, reaches this interpreter and the module."""
    try:
        seen = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False, **identity)
    except PermissionError:  # the interpreter lies where only its owner may go
        return False
    return seen.returncode == 0


@pytest.fixture(scope="session")
def engine_templates() -> set[str]:
    """The names of the templates that exist."""
    return set()


@pytest.fixture(scope="session")
def template(engine: Engine, server_dsn: str, engine_templates: set[str]) -> str:
    """The name of a migrated database that nobody is connected to."""
    name = f"template_{engine}"
    if name not in engine_templates:
        with new_template(server_dsn, name) as dsn:
            migrate(dsn, load_settings({}))
            with connect(dsn) as connection:
                assert engine_of(connection) is engine
        engine_templates.add(name)
    return name


@pytest.fixture
def dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with clone(server_dsn, template) as dsn:
        yield dsn


@contextmanager
def new_template(server_dsn: str, name: str, template: str = "template1") -> Iterator[str]:
    """A copy of the template to fill within the context; nobody can connect to it afterwards."""
    dsn = make_conninfo(server_dsn, dbname=name)
    with connect(server_dsn) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield dsn
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        # TimescaleDB's own workers would count as users of the template
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])


@contextmanager
def clone(server_dsn: str, template: str = "template1") -> Iterator[str]:
    """A copy of the template for as long as the context lasts."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with connect(server_dsn) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield make_conninfo(server_dsn, dbname=name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """An autocommit connection to the test's database."""
    with connect(dsn, "test") as connection:
        yield connection


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    """The default configuration, pointed at the test's database and an empty home."""
    return load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home")})
