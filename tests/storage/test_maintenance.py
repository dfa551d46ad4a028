"""Ticks go when they are old enough; candles never do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candleworks.candles.audit import audit
from candleworks.candles.maintenance import maintain
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings, load_settings
from candleworks.storage.inspection import inspect

TICKS = 40_000


@pytest.fixture
def keeping_two_weeks(tmp_path: Path) -> Settings:
    """Ticks stay for 14 days and are compressed after 3, candles after 5."""
    path = tmp_path / "candleworks.yaml"
    path.write_text(
        "storage: {retention_days: {stocks_real_time: 14}, compress_after_days: {stocks_real_time: 3, candles: 5}}"
    )
    return load_settings({"CANDLEWORKS_CONFIG": str(path)})


@pytest.fixture
def five_weeks(connection: Connection) -> Connection:
    """Five weeks of ticks up to now, nothing refreshed yet."""
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '36 days', now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, volume, day_volume)"
        " SELECT now() - n * interval '75 seconds', 'S' || n % 3, 100 + n % 13, 1, n FROM generate_series(1, 40000) n"
    )
    return connection


def _candle_ticks(connection: Connection) -> int:
    row = connection.execute("SELECT sum(ticks)::bigint FROM candles_1d").fetchone()
    assert row is not None
    return int(row[0])


def _horizon(connection: Connection) -> datetime:
    row = connection.execute("SELECT dropped_before FROM candleworks.retention_horizons").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def test_old_ticks_go_and_their_candles_stay(five_weeks: Connection, keeping_two_weeks: Settings) -> None:
    """Candles are stored before their ticks are dropped, even when no refresh ever ran."""
    done = {(work.relation, work.action): work for work in maintain(five_weeks, keeping_two_weeks)}
    assert done["stocks_real_time", "dropped"].units > 0
    assert _candle_ticks(five_weeks) == TICKS
    oldest = five_weeks.execute("SELECT min(time) FROM stocks_real_time").fetchone()
    assert oldest is not None
    assert _horizon(five_weeks) <= oldest[0]
    assert _horizon(five_weeks) <= datetime.now(UTC) - timedelta(days=14)
    assert audit(five_weeks, None, None).differences == []


def test_a_late_tick_does_not_replace_a_candle_whose_ticks_are_gone(
    five_weeks: Connection, keeping_two_weeks: Settings
) -> None:
    """A candle is never computed from a part of its ticks: not by a refresh, an audit or the next maintenance."""
    maintain(five_weeks, keeping_two_weeks)
    five_weeks.execute("SELECT candleworks.prepare_ticks(now() - interval '30 days', now() - interval '30 days')")
    late = "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - interval '30 days', 'S1', 5)"
    five_weeks.execute(late)
    refresh(five_weeks)
    assert audit(five_weeks, None, None, repair=True).differences == []
    maintain(five_weeks, keeping_two_weeks)
    for level in ("1m", "5m", "1d"):
        assert five_weeks.execute(f"SELECT min(low) FROM candles_{level}").fetchone() == (100.0,)
    assert _candle_ticks(five_weeks) == TICKS


def test_late_ticks_correct_compressed_days(five_weeks: Connection, keeping_two_weeks: Settings) -> None:
    """A day that is compressed, or would be, still takes late ticks into all of its candles."""
    maintain(five_weeks, keeping_two_weeks)
    five_weeks.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - interval '7 days', 'S1', 5)")
    refresh(five_weeks)
    for level in ("1m", "5m", "15m", "1h", "4h", "1d"):
        assert five_weeks.execute(f"SELECT count(*) FROM candles_{level} WHERE low = 5").fetchone() == (1,)
    assert audit(five_weeks, None, None).differences == []


def test_maintenance_repeats_harmlessly(five_weeks: Connection, keeping_two_weeks: Settings) -> None:
    """What was done once is not done again."""
    maintain(five_weeks, keeping_two_weeks)
    assert maintain(five_weeks, keeping_two_weeks) == []


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_compression_is_reported_with_its_ratio(five_weeks: Connection, keeping_two_weeks: Settings) -> None:
    """Chunks of ticks and of candles are compressed, and the relation tells how much smaller they became."""
    done = {(work.relation, work.action): work for work in maintain(five_weeks, keeping_two_weeks)}
    ticks = done["stocks_real_time", "compressed"]
    assert ticks.units > 5
    assert ticks.after.ratio is not None
    assert ticks.after.ratio > 1
    assert done["candles_1m", "compressed"].units > 0
    sizes = {relation.name: relation for relation in inspect(five_weeks).relations}
    assert sizes["stocks_real_time"].ratio == ticks.after.ratio


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_a_compressed_chunk_with_late_ticks_is_compressed_again(
    five_weeks: Connection, keeping_two_weeks: Settings
) -> None:
    """Late ticks lie beside the compressed ones until the next maintenance."""
    maintain(five_weeks, keeping_two_weeks)
    five_weeks.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - interval '7 days', 'S1', 5)")
    again = [(work.relation, work.action, work.units) for work in maintain(five_weeks, keeping_two_weeks)]
    assert ("stocks_real_time", "compressed", 1) in again


def test_ticks_of_a_quarter_before_and_after_now_find_their_partition(
    connection: Connection, settings: Settings
) -> None:
    """What a person inserts by SQL of their own, into trades and quotes; for other times they prepare partitions."""
    maintain(connection, settings)
    trade = "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() + %s * interval '1 day', 'A', 1)"
    quote = "INSERT INTO quotes (time, symbol, bid, ask) VALUES (now() + %s * interval '1 day', 'A', 1, 2)"
    for days in (-90, 90):
        connection.execute(trade, [days])
        connection.execute(quote, [days])
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '400 days', now() - interval '400 days')")
    connection.execute(trade, [-400])


def test_old_rejections_and_statistics_go(connection: Connection, settings: Settings) -> None:
    """The quarantine is kept for a year and the statistics for 90 days."""
    connection.execute("INSERT INTO rejected_ticks VALUES (now() - interval '366 days', 'f', 'r', 'p')")
    connection.execute("INSERT INTO rejected_ticks VALUES (now() - interval '364 days', 'f', 'r', 'p')")
    connection.execute(
        "INSERT INTO ingest_stats (feed, at, ticks, batches, spool_depth, reconnects, duplicates, rejected, candles)"
        " SELECT 'f', now() - d * interval '1 day', 0, 0, 0, 0, 0, 0, 0 FROM unnest(ARRAY[89, 91]) d"
    )
    done = [(work.relation, work.action, work.units, work.unit) for work in maintain(connection, settings)]
    assert done == [("rejected_ticks", "deleted", 1, "row"), ("ingest_stats", "deleted", 1, "row")]


ALERT = (
    "INSERT INTO alerts"
    ' ("check", subject, severity, status, opened_at, last_seen_at, checked_at, resolved_at, silenced_until)'
    " SELECT 'check', %(subject)s, 'info', CASE WHEN %(resolved)s::int IS NULL THEN 'open' ELSE 'resolved' END,"
    " now() - interval '800 days', now(), now(), now() - %(resolved)s * interval '1 day',"
    " now() - %(silenced)s * interval '1 day'"
)


def test_resolved_alerts_go_with_their_events_and_deliveries(connection: Connection, settings: Settings) -> None:
    """After a year, unless a silence that outlives its alert is not over; unresolved ones never go."""
    connection.execute(ALERT, {"subject": "old", "resolved": 366, "silenced": None})
    connection.execute(ALERT, {"subject": "newer", "resolved": 364, "silenced": None})
    connection.execute(ALERT, {"subject": "unresolved", "resolved": None, "silenced": None})
    connection.execute(ALERT, {"subject": "silenced", "resolved": 366, "silenced": -1})
    connection.execute(
        "INSERT INTO alert_events (alert_id, event, at, severity, result, count)"
        " SELECT id, 'opened', opened_at, severity, result, 1 FROM alerts"
    )
    connection.execute("INSERT INTO alert_deliveries (event_id, recipient) SELECT id, 'log' FROM alert_events")
    done = [(work.relation, work.action, work.units) for work in maintain(connection, settings)]
    assert done == [("alerts", "deleted", 1)]
    kept = connection.execute(
        "SELECT a.subject FROM alerts a JOIN alert_events e ON e.alert_id = a.id"
        " JOIN alert_deliveries d ON d.event_id = e.id ORDER BY a.id"
    ).fetchall()
    assert kept == [("newer",), ("unresolved",), ("silenced",)]
    assert connection.execute("SELECT count(*) FROM alert_deliveries").fetchone() == (3,)


def test_closed_gaps_go_and_open_ones_stay(connection: Connection, settings: Settings) -> None:
    """After two years, with what became of filling them."""
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason)"
        " SELECT 'f', s, now() - interval '800 days', now() - d * interval '1 day', 'lost'"
        " FROM (VALUES ('old', 731), ('newer', 729), ('open', NULL)) g(s, d)"
    )
    connection.execute("INSERT INTO gap_fills SELECT id, 'X', 'filled', 1, NULL, 1, NULL, now() FROM feed_gaps")
    done = [(work.relation, work.action, work.units) for work in maintain(connection, settings)]
    assert done == [("feed_gaps", "deleted", 1)]
    assert connection.execute(
        "SELECT g.symbol FROM feed_gaps g JOIN gap_fills f ON f.gap_id = g.id ORDER BY g.id"
    ).fetchall() == [("newer",), ("open",)]
    assert connection.execute("SELECT count(*) FROM gap_fills").fetchone() == (2,)


def test_what_undoing_an_import_takes_goes_with_its_ticks(five_weeks: Connection, keeping_two_weeks: Settings) -> None:
    """An import of a time whose ticks were dropped cannot be undone; one of a later time can."""
    five_weeks.execute(
        "INSERT INTO candleworks.import_runs"
        " SELECT now() - n * interval '1 second', s, now() - d * interval '1 day', now() - interval '5 days'"
        " FROM (VALUES (1, 'old', 30), (2, 'old', 6), (3, 'newer', 6), (4, 'begun', NULL)) r(n, s, d)"
    )
    five_weeks.execute(
        "INSERT INTO candleworks.replaced_bars (sha256, relation, bar, ticks)"
        " SELECT s, 'vendor_bars', '{}', '[]' FROM unnest(ARRAY['old', 'newer']) s"
    )
    done = {(work.relation, work.action): work for work in maintain(five_weeks, keeping_two_weeks)}
    assert str(done["import_files", "deleted"]) == "deleted 2 runs"
    runs = five_weeks.execute("SELECT sha256 FROM candleworks.import_runs ORDER BY received_at DESC").fetchall()
    assert runs == [("newer",), ("begun",)]
    assert five_weeks.execute("SELECT sha256 FROM candleworks.replaced_bars").fetchall() == [("newer",)]
