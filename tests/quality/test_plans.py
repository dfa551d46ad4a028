"""A run reads what is new: the history behind it is never read from end to end."""

from datetime import timedelta

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.quality import run_checks
from candleworks.settings import Settings
from tests.quality.conftest import NOW
from tests.storage.reads import counted

DAYS = 16
STEP_SECONDS = 4  # so dense that a scan of a chunk costs more than a look into its index


@pytest.fixture
def long_history(connection: Connection, settings: Settings) -> Connection:
    """Days of ticks of three symbols that stream, up to NOW."""
    sync_calendars(connection, settings)
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [NOW - timedelta(days=DAYS + 1), NOW])
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume, bid, ask, received_at, origin)"
        " SELECT t.time, 'S' || mod(n, 3) || '/X', 100, 2000000 - n, 99.9, 100.1, t.time + interval '0.2 s', 'feed'"
        " FROM generate_series(%s::int, 1, -1) n CROSS JOIN LATERAL (SELECT %s - n * %s AS time) t",
        [DAYS * 86_400 // STEP_SECONDS, NOW, timedelta(seconds=STEP_SECONDS)],
    )
    connection.execute(
        "INSERT INTO feed_symbols SELECT 'a', 'S' || n || '/X', 'streaming', NULL, %s FROM generate_series(0, 2) n",
        [NOW - timedelta(days=DAYS)],
    )
    refresh(connection)
    connection.execute("VACUUM ANALYZE")
    return connection


def rows_read(connection: Connection, engine: Engine) -> int:
    """How many rows were read so far of the partitions or chunks that end days before NOW, by scan or by index."""
    old = (
        "SELECT format('%%I.%%I', c.chunk_schema, c.chunk_name)::regclass FROM timescaledb_information.chunks c"
        " WHERE c.hypertable_name = 'stocks_real_time' AND c.range_end < %s"
        if engine is Engine.TIMESCALE
        else "SELECT t.relid FROM pg_partition_tree('stocks_real_time') t WHERE t.isleaf"
        " AND to_date(right(t.relid::regclass::text, 8), 'YYYYMMDD') + 7 < %s"
    )
    return counted(connection, "seq_tup_read + coalesce(idx_tup_fetch, 0)", old, [NOW - timedelta(days=2)])


def test_a_run_does_not_read_the_history(long_history: Connection, engine: Engine, settings: Settings) -> None:
    """Of 200,000 old ticks and more only the ends of block ranges are looked at, and a day by the audit in each run."""
    before = rows_read(long_history, engine)
    dsn = settings.dsn.get_secret_value() if settings.dsn else ""
    for minutes in (10, 5):
        report = run_checks(settings, dsn, until=NOW - timedelta(minutes=minutes))
        assert report.passed, [(found.check, found.observed) for found in (*report.failed, *report.errors)]
        assert "price-jump" not in report.idle
    read = rows_read(long_history, engine) - before
    long_history.execute("SELECT max(bid) FROM stocks_real_time")
    history = rows_read(long_history, engine) - before - read
    assert history > 200_000
    audited = 2 * 86_400 // STEP_SECONDS
    assert read < history / 4 + audited, "a single scan would read all of it"
