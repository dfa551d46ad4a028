"""Candles stay whoever drops their ticks: a policy of TimescaleDB, drop_chunks(), or partitions dropped by hand."""

import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candleworks.candles.audit import audit
from candleworks.candles.maintenance import maintain
from candleworks.candles.refresh import refresh
from candleworks.database import migrations
from candleworks.database.binaries import Binaries
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine, engine_of
from candleworks.database.migrations import migrate, read_migrations
from candleworks.settings import Settings, load_settings
from candleworks.storage.inspection import inspect
from candleworks.storage.tick_retention import drop_ticks
from candleworks.storage.trades import TradeStore
from tests.conftest import clone
from tests.storage.conftest import LiveTrades, Trade, trades_of

TICKS = 2_000
LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")
only_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
only_timescale = pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
Candles = list[tuple[object, ...]]


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@pytest.fixture
def market(connection: Connection) -> Connection:
    """Six weeks of trades and quotes of three symbols up to an hour ago, and their candles."""
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '43 days', now())")
    connection.execute("SELECT candleworks.prepare_quotes(now() - interval '43 days', now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, volume)"
        " SELECT now() - interval '1 hour' - n * interval '1800 seconds', 'S' || n % 3, 100 + n % 13, 1"
        f" FROM generate_series(1, {TICKS}) n"
    )
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask) SELECT time, symbol, price, price + 1 FROM stocks_real_time"
    )
    refresh(connection)
    return connection


def changed(connection: Connection, before: dict[str, Candles]) -> dict[str, int]:
    """Count the candles that are other ones than before, by relation; the diff of thousands would take minutes."""
    differing = {name: len(set(found) ^ set(before[name])) for name, found in candles(connection).items()}
    return {name: count for name, count in differing.items() if count}


def candles(connection: Connection, where: str = "symbol LIKE 'S_'") -> dict[str, Candles]:
    """Every candle, by its relation."""
    return {
        relation: connection.execute(f"SELECT * FROM {relation} WHERE {where} ORDER BY symbol, bucket").fetchall()
        for level in LEVELS
        for relation in (f"candles_{level}", f"quote_candles_{level}")
    }


def drop(
    connection: Connection,
    oldest: float,
    newest: float,
    how: str = "DROP",
    tables: Sequence[str] = ("stocks_real_time", "quotes"),
) -> None:
    """Drop by hand what lies between so many days ago."""
    for table in tables:
        if engine_of(connection) is Engine.TIMESCALE:
            connection.execute(
                "SELECT drop_chunks(%s::regclass, older_than => %s, newer_than => %s)",
                [table, ago(newest), ago(oldest)],
            )
            continue
        partitions = connection.execute(
            "SELECT partition FROM candleworks.tick_partitions"
            " WHERE relation = %s AND stop <= %s AND stop - interval '7 days' >= %s",
            [table, ago(newest), ago(oldest)],
        ).fetchall()
        assert partitions
        for (partition,) in partitions:
            connection.execute(
                f"DROP TABLE candleworks.{partition}"
                if how == "DROP"
                else f"ALTER TABLE {table} DETACH PARTITION candleworks.{partition} {how.removeprefix('DETACH')}"
            )


def drop_oldest(connection: Connection) -> None:
    drop(connection, 60, 12)


def drop_middle(connection: Connection) -> None:
    drop(connection, 28, 12)


def detach_middle(connection: Connection) -> None:
    if engine_of(connection) is Engine.TIMESCALE:
        chunks = connection.execute(
            "SELECT c.chunk_schema || '.' || c.chunk_name FROM timescaledb_information.chunks c"
            " WHERE hypertable_name IN ('stocks_real_time', 'quotes') AND range_start > %s AND range_end < %s",
            [ago(28), ago(12)],
        ).fetchall()
        for (chunk,) in chunks:
            connection.execute("CALL detach_chunk(%s)", [chunk])
    else:
        drop(connection, 28, 12, "DETACH CONCURRENTLY")


def run_policy(connection: Connection) -> None:
    """TimescaleDB's own retention; plain PostgreSQL has none."""
    if engine_of(connection) is Engine.POSTGRES:
        pytest.skip("plain PostgreSQL has no policies")
    for table in ("stocks_real_time", "quotes"):
        job = connection.execute("SELECT add_retention_policy(%s, interval '12 days')", [table]).fetchone()
        assert job is not None
        connection.execute("CALL run_job(%s)", [job[0]])


def store(connection: Connection, time: datetime, symbol: str) -> None:
    """Store a trade as a feed does."""
    live = LiveTrades(TradeStore(connection, "twelvedata", lambda _: UTC))
    live.write(trades_of([Trade(time, symbol, 5.0, 1.0)]))


def late_tick(connection: Connection) -> None:
    """A trade of 20 days ago, at noon."""
    store(connection, ago(20).replace(hour=12, minute=0, second=0, microsecond=0), "S1")


def live_ingest(connection: Connection) -> None:
    """A trade of this minute and a refresh, as a feed does both."""
    store(connection, ago(0), "LIVE")
    refresh(connection)


def full_audit(connection: Connection) -> None:
    assert audit(connection, None, None).differences == []


def repairing_audit(connection: Connection) -> None:
    assert audit(connection, None, None, repair=True).differences == []


Act = Callable[[Connection], object]
AFTERWARDS: dict[str, list[Act]] = {
    "refresh, ingest, audit and repair": [refresh, live_ingest, full_audit, repairing_audit],
    "late tick first": [late_tick, refresh, repairing_audit, live_ingest],
    "late tick after a refresh": [refresh, late_tick, live_ingest, repairing_audit, late_tick],
}


@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("dropped", [run_policy, drop_oldest, drop_middle, detach_middle])
def test_candles_stay_whoever_drops_their_ticks(market: Connection, dropped: Act, afterwards: str) -> None:
    """At every level, of trades and quotes, whatever follows; a late tick replaces no candle by itself alone."""
    if dropped is detach_middle and "late" in afterwards and engine_of(market) is Engine.POSTGRES:
        pytest.skip("a detached partition takes no ticks, and its name is taken")
    before = candles(market)
    dropped(market)
    count = market.execute("SELECT count(*) FROM stocks_real_time").fetchone()
    assert count is not None
    assert 0 < count[0] < TICKS
    for act in AFTERWARDS[afterwards]:
        act(market)
    refresh(market)
    assert changed(market, before) == {}
    assert inspect(market).pending == 0


def test_candles_of_other_times_follow_their_ticks(market: Connection) -> None:
    """Beside what was dropped, and before it, late ticks count and new history gets its candles."""
    drop_middle(market)
    refresh(market)
    for days in (3, 40, 300):
        store(market, ago(days), "LATE")
    refresh(market)
    assert sorted({row[0] for row in candles(market, "symbol = 'LATE'")["candles_1d"]}) == [
        ago(days).replace(hour=0, minute=0, second=0, microsecond=0) for days in (300, 40, 3)
    ]
    assert audit(market, None, None).differences == []


def test_what_was_dropped_before_it_had_ticks_takes_ticks(connection: Connection) -> None:
    """A chunk or partition without candles leaves nothing to protect."""
    store(connection, ago(20), "A")
    refresh(connection)
    connection.execute("DELETE FROM stocks_real_time")
    refresh(connection)
    if engine_of(connection) is Engine.TIMESCALE:
        connection.execute("SELECT drop_chunks('stocks_real_time', older_than => now() - interval '2 days')")
    else:
        connection.execute(
            "DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE candleworks.%I', partition)"
            " FROM candleworks.tick_partitions WHERE relation = 'stocks_real_time'"
            " AND now() - interval '20 days' BETWEEN stop - interval '7 days' AND stop); END $$"
        )
    refresh(connection)
    store(connection, ago(20), "A")
    refresh(connection)
    assert all(len(found) == 1 for name, found in candles(connection, "symbol = 'A'").items() if name[0] == "c")


def test_ticks_after_a_drop_of_the_newest_get_candles(market: Connection) -> None:
    """What is dropped ends with the last stored candle: the feed goes on, and its day keeps what it had."""
    before = candles(market)
    if engine_of(market) is Engine.TIMESCALE:
        market.execute("SELECT drop_chunks('stocks_real_time', newer_than => now() - interval '2 days')")
    else:
        market.execute(
            "DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE candleworks.%I', partition)"
            " FROM candleworks.tick_partitions WHERE now() BETWEEN stop - interval '7 days' AND stop"
            " AND relation = 'stocks_real_time'); END $$"
        )
    refresh(market)
    assert changed(market, before) == {}
    store(market, ago(1 / 48), "LIVE")
    refresh(market)
    assert all(len(found) == 1 for name, found in candles(market, "symbol = 'LIVE'").items() if name[0] == "c")
    assert changed(market, before) == {}
    assert audit(market, None, None, repair=True).differences == []


def test_ticks_that_are_back_count_again(market: Connection) -> None:
    """A chunk or partition that was detached and is attached again is the same as before."""
    before = candles(market)
    if engine_of(market) is Engine.TIMESCALE:
        pytest.skip("a detached chunk is attached by its bounds, which are private to TimescaleDB")
    [(partition, stop)] = market.execute(
        "SELECT partition, stop FROM candleworks.tick_partitions WHERE relation = 'stocks_real_time'"
        " AND now() - interval '20 days' BETWEEN stop - interval '7 days' AND stop"
    ).fetchall()
    market.execute(f"ALTER TABLE stocks_real_time DETACH PARTITION candleworks.{partition}")
    refresh(market)
    market.execute(
        f"ALTER TABLE stocks_real_time ATTACH PARTITION candleworks.{partition}"
        f" FOR VALUES FROM ('{stop - timedelta(days=7)}') TO ('{stop}')"
    )
    refresh(market)
    assert changed(market, before) == {}
    late_tick(market)
    refresh(market)
    assert market.execute("SELECT count(*) FROM candles_1d WHERE low = 5").fetchone() == (1,)


@only_timescale
def test_merged_chunks_are_not_dropped(market: Connection) -> None:
    """Ticks that merge_chunks() has put into another chunk are still there, and late ones count."""
    chunks = market.execute(
        "SELECT c.chunk_schema || '.' || c.chunk_name FROM timescaledb_information.chunks c"
        " WHERE hypertable_name = 'stocks_real_time' AND range_start > %s AND range_end < %s ORDER BY range_start",
        [ago(24), ago(17)],
    ).fetchall()
    market.execute("CALL merge_chunks(%s::regclass[])", [[chunk for (chunk,) in chunks]])
    refresh(market)
    late_tick(market)
    refresh(market)
    assert market.execute("SELECT count(*) FROM candles_1d WHERE low = 5").fetchone() == (1,)
    assert audit(market, None, None).differences == []


@only_timescale
def test_truncated_ticks_were_not_dropped(market: Connection) -> None:
    """TRUNCATE says that there are no ticks, as DELETE does: candles follow what comes then."""
    market.execute("TRUNCATE stocks_real_time, quotes")
    refresh(market)
    assert not any(candles(market).values())
    late_tick(market)
    refresh(market)
    assert len(candles(market)["candles_1d"]) == 1


def test_own_retention_is_not_reported_as_a_drop(market: Connection, settings: Settings) -> None:
    """`candleworks maintain` raises the horizon; what others drop afterwards is recorded beside it."""
    assert drop_ticks(market, "stocks_real_time", ago(28)) > 0
    refresh(market)
    maintain(market, settings)
    assert market.execute("SELECT count(*) FROM candleworks.tick_parts WHERE dropped_at IS NOT NULL").fetchone() == (0,)


def test_ticks_that_were_dropped_before_an_upgrade_keep_their_candles(
    server_dsn: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version recorded no chunks or partitions: days of candles that lie in none have lost their ticks."""
    old = [each for each in read_migrations(engine) if each.name.partition("/")[2] < "0043"]
    with clone(server_dsn, "template0") as dsn, connect(dsn) as connection:
        with monkeypatch.context() as older:
            older.setattr(migrations, "read_migrations", lambda _: old)
            migrate(dsn, load_settings({}))
        for days in (20, 1):
            store(connection, ago(days), "S1")
        if engine is Engine.TIMESCALE:
            connection.execute("CALL refresh_continuous_aggregate('candles_1m', NULL, now() - interval '1 hour')")
            connection.execute("SELECT drop_chunks('stocks_real_time', older_than => now() - interval '12 days')")
        else:
            connection.execute("SELECT candleworks.refresh_candles()")
            drop(connection, 28, 12, "DROP", ["stocks_real_time"])
        before = candles(connection)
        migrate(dsn, load_settings({}))
        for act in (refresh, late_tick, refresh, repairing_audit):
            act(connection)
        assert changed(connection, before) == {}
        assert len(before["candles_1m"]) == 2


def test_a_restored_database_knows_what_was_dropped(
    market: Connection, dsn: str, server_dsn: str, engine: Engine, tmp_path: Path
) -> None:
    """Chunks and partitions get other numbers: those that are there are found by name, and the others stay dropped."""
    drop_middle(market)
    refresh(market)
    before = candles(market)
    run("pg_dump", "--format=custom", "--file", tmp_path / "dump", dsn)
    with clone(server_dsn, "template0") as restored:
        if engine is Engine.TIMESCALE:
            execute(restored, "CREATE EXTENSION timescaledb")
            execute(restored, "SELECT timescaledb_pre_restore()")
        run("pg_restore", "--exit-on-error", "--dbname", restored, tmp_path / "dump")
        if engine is Engine.TIMESCALE:
            execute(restored, "SELECT timescaledb_post_restore()")
        with connect(restored) as connection:
            drops = "SELECT count(*) FROM candleworks.tick_parts WHERE dropped_at IS NOT NULL"
            known = market.execute(drops).fetchone()
            for act in (late_tick, refresh, repairing_audit):
                act(connection)
            assert connection.execute(drops).fetchone() == known
            assert changed(connection, before) == {}


def run(program: str, *words: str | Path) -> None:
    """Run a client program of the embedded server's version."""
    subprocess.run([Binaries().programs / program, *words], check=True)


def execute(dsn: str, statement: str) -> None:
    """Run a statement in a connection of its own."""
    with connect(dsn) as connection:
        connection.execute(statement.encode())
