"""The audit finds every candle that is not what its ticks say, and mends it when asked."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks import clock
from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.candles.conftest import stored_table

LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")
DAY = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def day(connection: Connection) -> Connection:
    """One refreshed day of ticks of three symbols, with volumes that are no whole numbers."""
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [DAY, DAY + timedelta(days=1)])
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, volume, day_volume)"
        " SELECT %s + n * interval '17 seconds', 'S' || n %% 3, 100 + n %% 11, 0.1 * (n %% 7), n"
        " FROM generate_series(0, 5000) n",
        [DAY],
    )
    refresh(connection)
    return connection


def _insert_unnoticed(connection: Connection, engine: Engine, moment: datetime) -> None:
    """Store a tick in such a way that no note of it reaches the refresh."""
    with connection.transaction():
        if engine is Engine.POSTGRES:
            connection.execute("SET LOCAL session_replication_role = replica")
        else:
            connection.execute("SET LOCAL timescaledb.skip_cagg_invalidation = on")
        connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'S1', 500)", [moment])


def test_right_candles_have_no_differences(day: Connection) -> None:
    """Sums of volumes in another order are no difference."""
    report = audit(day, None, None)
    assert report.differences == []
    assert day.execute("SELECT count(*) FROM candle_differences").fetchone() == (0,)


@pytest.mark.parametrize("level", ["1m", "1h", "1d"])
def test_a_wrong_candle_is_found_and_repaired(level: str, day: Connection, engine: Engine) -> None:
    """A stored candle that was changed by hand is reported with both values and computed anew."""
    table = stored_table(day, engine, level)
    day.execute(f"UPDATE {table} SET high = 999 WHERE symbol = 'S2' AND bucket = %s", [DAY])
    found = audit(day, DAY, DAY + timedelta(days=1)).differences
    lowest = found[0]
    assert (lowest.level, lowest.symbol, lowest.bucket, lowest.kind) == (level, "S2", DAY, "wrong")
    assert lowest.stored is not None
    assert lowest.expected is not None
    assert lowest.stored["high"] == 999
    assert lowest.expected["high"] <= 110
    report = audit(day, DAY, DAY + timedelta(days=1), repair=True)
    assert report.repaired == len(report.differences) > 0
    assert audit(day, None, None).differences == []


def test_a_lost_note_is_found_and_repaired(day: Connection, engine: Engine) -> None:
    """A tick whose note never reached the refresh is missing at every level, and is there after the repair."""
    _insert_unnoticed(day, engine, DAY + timedelta(hours=3, seconds=5, microseconds=7))
    found = audit(day, None, None).differences
    assert [difference.level for difference in found] == list(LEVELS)
    assert {difference.symbol for difference in found} == {"S1"}
    report = audit(day, None, None, repair=True)
    assert report.repaired == len(LEVELS)
    assert audit(day, None, None).differences == []
    for level in LEVELS:
        highest = f"SELECT max(high) FROM candles_{level} WHERE symbol = 'S1'"
        assert day.execute(highest).fetchone() == (500.0,)


def test_missing_and_surplus_candles_are_told_apart(day: Connection, engine: Engine) -> None:
    """A candle that vanished is missing; one whose ticks vanished unnoticed is surplus."""
    table = stored_table(day, engine, "1m")
    day.execute(f"DELETE FROM {table} WHERE symbol = 'S0' AND bucket = %s", [DAY])
    with day.transaction():
        if engine is Engine.POSTGRES:
            day.execute("SET LOCAL session_replication_role = replica")
        else:
            day.execute("SET LOCAL timescaledb.skip_cagg_invalidation = on")
        day.execute(
            "DELETE FROM stocks_real_time WHERE symbol = 'S1' AND time >= %s AND time < %s",
            [DAY + timedelta(hours=5), DAY + timedelta(hours=5, minutes=1)],
        )
    found = {(d.symbol, d.bucket, d.kind) for d in audit(day, None, None).differences if d.level == "1m"}
    assert found == {("S0", DAY, "missing"), ("S1", DAY + timedelta(hours=5), "surplus")}
    report = audit(day, None, None, repair=True)
    assert report.repaired == len(report.differences)
    assert audit(day, None, None).differences == []


def test_every_difference_is_kept(day: Connection, engine: Engine) -> None:
    """candle_differences tells what was found, and when it was repaired."""
    _insert_unnoticed(day, engine, DAY + timedelta(hours=3, microseconds=1))
    audit(day, None, None)
    audit(day, None, None, repair=True)
    kept = day.execute(
        "SELECT level, symbol, kind, repaired_at IS NOT NULL, (expected ->> 'high')::float FROM candle_differences"
        " ORDER BY found_at, array_position(%s, level)",
        [list(LEVELS)],
    ).fetchall()
    assert kept == [(level, "S1", "wrong", repaired, 500.0) for repaired in (False, True) for level in LEVELS]


def test_only_the_asked_days_are_audited(day: Connection, engine: Engine) -> None:
    """A difference outside of the range is left for another time."""
    _insert_unnoticed(day, engine, DAY + timedelta(hours=3))
    assert audit(day, DAY + timedelta(days=1), None).differences == []
    assert audit(day, None, DAY).differences == []


def test_quote_candles_are_audited_too(connection: Connection, engine: Engine) -> None:
    """A wrong candle of bid and ask is found under its own level's name and repaired, the trades' stay as they are."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [DAY, DAY + timedelta(days=1)])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume)"
        " SELECT %s + n * interval '31 seconds', 'EUR/USD', 1.1 + n * 1e-5, 1.2 + n * 1e-5, 0.1, 0.3"
        " FROM generate_series(0, 2000) n",
        [DAY],
    )
    refresh(connection)
    assert audit(connection, None, None).differences == []
    with connection.transaction():
        if engine is Engine.POSTGRES:
            connection.execute("SET LOCAL session_replication_role = replica")
        else:
            connection.execute("SET LOCAL timescaledb.skip_cagg_invalidation = on")
        connection.execute(
            "INSERT INTO quotes (time, symbol, bid, ask) VALUES (%s, 'EUR/USD', 9, 10)",
            [DAY + timedelta(microseconds=1)],
        )
    found = audit(connection, None, None).differences
    assert [difference.level for difference in found] == [f"quote {level}" for level in LEVELS]
    report = audit(connection, None, None, repair=True)
    assert report.repaired == len(LEVELS)
    assert audit(connection, None, None).differences == []
    assert connection.execute("SELECT ask_high FROM quote_candles_1d").fetchone() == (10.0,)


def test_a_repair_never_freezes_forming_candles(connection: Connection, engine: Engine) -> None:
    """They are wrong as long as a candle below them is: what was never stored is not stored by a repair."""
    start = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    connection.execute("SELECT candleworks.prepare_ticks(%s, now())", [start])
    insertion = "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'S', %s)"
    connection.execute(insertion, [start, 1])
    refresh(connection)
    connection.execute(f"UPDATE {stored_table(connection, engine, '1m')} SET high = 999")
    found = audit(connection, None, None, repair=True)
    assert found.repaired > 0
    connection.execute(insertion, [clock.now(), 5])
    refresh(connection)
    assert audit(connection, None, None).differences == []
    assert connection.execute("SELECT high FROM candles_1d ORDER BY bucket DESC").fetchone() == (5.0,)


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_a_range_that_begins_with_time_itself_is_refreshed(day: Connection) -> None:
    """TimescaleDB keeps such a note where the first refresh of a level began later than at the beginning."""
    relation = "public.tick_candles_1d"
    day.execute(
        "INSERT INTO _timescaledb_catalog.continuous_aggs_materialization_invalidation_log"
        " SELECT mat_hypertable_id, -9223372036854775808, %s FROM _timescaledb_catalog.continuous_agg"
        " WHERE format('%%I.%%I', user_view_schema, user_view_name) = %s",
        [int(DAY.timestamp() * 1e6), relation],
    )
    refresh(day)
    assert audit(day, None, None).differences == []
