"""What the dashboards of operation say of feeds, uptime and storage, against a database whose state is known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.settings import load_settings

NOW = datetime(2026, 11, 18, 16, 30, tzinfo=UTC)  # a Wednesday, New York opened at 14:30
SINCE = NOW - timedelta(hours=4)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.fixture
def feeds(connection: Connection) -> Connection:
    """Two feeds that have streamed for four hours: their newest tick came two seconds ago."""
    sync_calendars(connection, load_settings({}))
    symbols = [("stocks", "AAPL"), ("stocks", "MSFT"), ("crypto", "BTC/USD")]
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [SINCE, NOW])
    for feed, symbol in symbols:
        connection.execute("INSERT INTO feed_symbols VALUES (%s, %s, 'streaming', NULL, %s)", [feed, symbol, SINCE])
        tick(connection, symbol, ago(seconds=2))
    for feed in ("stocks", "crypto"):
        for at in (SINCE, ago(seconds=20), ago(seconds=10)):
            heartbeat(connection, feed, at)
    return connection


def tick(connection: Connection, symbol: str, at: datetime) -> None:
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, %s, 1)", [at, symbol])


def heartbeat(connection: Connection, feed: str, at: datetime) -> None:
    row = [feed, at, 50, 1, 20, 90, 120, 2, 0, 0, 0, 0]
    connection.execute(f"INSERT INTO ingest_stats VALUES ({', '.join(['%s'] * len(row))})".encode(), row)


Span = tuple[datetime, datetime | None]


def gap(connection: Connection, feed: str, symbol: str | None, span: Span, why: str) -> None:
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES (%s, %s, %s, %s, %s)",
        [feed, symbol, *span, why],
    )


def feed_states(connection: Connection, at: datetime = NOW) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute("SELECT feed, state, since, reason FROM dashboards.feed_states(%s)", [at]).fetchall()
    return {feed: tuple(rest) for feed, *rest in rows}


def symbol_states(connection: Connection, at: datetime = NOW) -> dict[str, str]:
    return dict(connection.execute("SELECT symbol, state FROM dashboards.symbol_states(%s)", [at]).fetchall())


def test_a_feed_that_streams(feeds: Connection) -> None:
    """Its ticks per second and lag are those of the last ten seconds that are complete."""
    assert feed_states(feeds) == dict.fromkeys(("stocks", "crypto"), ("streaming", None, None))
    assert set(symbol_states(feeds).values()) == {"streaming"}
    numbers = feeds.execute(
        "SELECT ticks_per_second, lag_ms_p99, spool_depth, silent_seconds FROM dashboards.feed_states(%s)", [NOW]
    ).fetchall()
    assert numbers == [(5, 90, 2, 2)] * 2


def test_a_feed_whose_connection_is_lost_is_down_since_then(feeds: Connection) -> None:
    """And so are its symbols; the age of its statistics says nothing, for its process runs."""
    gap(feeds, "stocks", None, (ago(minutes=4), None), "dropped")
    assert feed_states(feeds)["stocks"] == ("down", ago(minutes=4), "the connection was lost")
    assert symbol_states(feeds) == {"AAPL": "down", "MSFT": "down", "BTC/USD": "streaming"}


def test_a_feed_without_ticks_is_silent_since_then(feeds: Connection) -> None:
    """Connected, in market hours; a single symbol's silence is its own."""
    gap(feeds, "stocks", None, (ago(minutes=4), None), "silent")
    gap(feeds, "crypto", "BTC/USD", (ago(minutes=3), None), "silent")
    assert feed_states(feeds) == {
        "stocks": ("silent", ago(minutes=4), "no tick in market hours"),
        "crypto": ("streaming", None, None),
    }
    assert set(symbol_states(feeds).values()) == {"silent"}


def test_a_feed_whose_process_ended_is_down_since_its_last_statistics(feeds: Connection) -> None:
    """Nobody opens a gap for it before it starts again."""
    later = NOW + timedelta(minutes=3)
    assert feed_states(feeds, later)["crypto"] == ("down", ago(seconds=10), "its process does not report")
    assert symbol_states(feeds, later)["BTC/USD"] == "down"


def test_a_feed_that_was_stopped_on_purpose_is_stopped(feeds: Connection) -> None:
    """Not down, though it has an open gap."""
    gap(feeds, "stocks", None, (ago(minutes=4), None), "stopped")
    feeds.execute("INSERT INTO feed_stops VALUES ('stocks', %s, 'cancelled in Prefect', true)", [ago(minutes=4)])
    assert feed_states(feeds)["stocks"] == ("stopped", ago(minutes=4), "cancelled in Prefect")
    assert symbol_states(feeds)["AAPL"] == "stopped"


def test_markets_that_are_closed_and_symbols_that_are_quiet(feeds: Connection) -> None:
    """Words of candles_filled(), while the feeds run on."""
    at_night = NOW.replace(hour=23)
    for feed in ("stocks", "crypto"):
        heartbeat(feeds, feed, at_night - timedelta(seconds=5))
    assert {feed: state for feed, (state, *_) in feed_states(feeds, at_night).items()} == {
        "stocks": "closed",
        "crypto": "quiet",
    }
    assert symbol_states(feeds, at_night) == {"AAPL": "closed", "MSFT": "closed", "BTC/USD": "quiet"}
    tick(feeds, "AAPL", at_night - timedelta(seconds=5))
    assert symbol_states(feeds, at_night)["AAPL"] == "streaming"  # outside of regular hours
    assert feed_states(feeds, at_night)["stocks"][0] == "streaming"


def test_uptime_is_a_share_of_market_hours(feeds: Connection) -> None:
    """Stocks were open for two of the four hours: a gap in the morning does not count, one of 12 minutes is a tenth."""
    gap(feeds, "stocks", None, (ago(hours=3), ago(hours=2.5)), "dropped")
    gap(feeds, "stocks", None, (ago(minutes=60), ago(minutes=48)), "stopped")
    gap(feeds, "stocks", "AAPL", (ago(minutes=54), ago(minutes=42)), "silent")
    rows = feeds.execute(
        "SELECT feed, days, round(up_percent::numeric, 3), round(fresh_percent::numeric, 3), down_seconds"
        " FROM dashboards.uptime(%s) ORDER BY feed, days",
        [NOW],
    ).fetchall()
    assert [row for row in rows if row[0] == "crypto"] == [("crypto", days, 100, 100, 0) for days in (1, 7, 30)]
    assert [row for row in rows if row[0] == "stocks"] == [("stocks", days, 90, 85, 720) for days in (1, 7, 30)]


def test_uptime_ends_with_the_process(feeds: Connection) -> None:
    """A process that is killed counts as down at once, without a gap; closed markets have no uptime."""
    rows = feeds.execute(
        "SELECT down_seconds FROM dashboards.uptime(%s) WHERE feed = 'crypto' AND days = 1",
        [NOW + timedelta(hours=1)],
    ).fetchall()
    assert rows == [(3600,)]
    feeds.execute("UPDATE candleworks.ingest_totals SET since = %s", [NOW.replace(hour=22)])
    closed = feeds.execute("SELECT up_percent FROM dashboards.uptime(%s) WHERE feed = 'stocks'", [NOW.replace(hour=23)])
    assert closed.fetchall() == [(None,)] * 3


def test_a_gap_says_what_became_of_it_and_what_to_look_at(feeds: Connection) -> None:
    """A gap of the whole feed leads to one of its symbols, not to a symbol that does not exist."""
    gap(feeds, "stocks", None, (ago(minutes=50), ago(minutes=40)), "dropped")
    gap(feeds, "crypto", "BTC/USD", (ago(minutes=30), None), "silent")
    rows = feeds.execute(
        "SELECT feed, symbols, state, reason, shown, to_timestamp(shown_from::bigint / 1000)"
        " FROM dashboards.gap_list(ARRAY['stocks', 'crypto'], %s, %s)",
        [SINCE, NOW],
    ).fetchall()
    assert rows == [
        ("crypto", "BTC/USD", "open", "no tick in market hours", "BTC/USD", ago(minutes=40)),
        ("stocks", "all", "unfilled", "the connection was lost", "AAPL", ago(minutes=60)),
    ]


def test_storage_counts_and_begins_are_exact(feeds: Connection) -> None:
    """Without any table being analysed: ticks, small tables, the first tick and the first candle of each level."""
    tick(feeds, "AAPL", ago(hours=3, seconds=7))
    refresh(feeds)
    found = {
        relation: (rows, oldest)
        for relation, rows, oldest in feeds.execute("SELECT relation, rows, oldest FROM dashboards.storage()")
    }
    assert found["stocks_real_time"] == (4, ago(hours=3, seconds=7))
    assert found["candles_1m"] == (None, ago(hours=3, minutes=1))
    assert found["candles_4h"] == (None, NOW.replace(hour=12, minute=0))
    assert found["tick_candles_1d"] == (None, NOW.replace(hour=0, minute=0))
    assert found["feed_symbols"] == (3, None)
    assert found["alerts"] == (0, None)
    quotes = feeds.execute("SELECT rows, oldest FROM dashboards.contents() WHERE relation = 'quotes'").fetchall()
    assert quotes == [(0, None)]  # plain PostgreSQL has no partition for them yet


def test_storage_begins_where_retention_has_dropped(feeds: Connection) -> None:
    """Candles of dropped ticks stay, and are not counted as ticks."""
    feeds.execute("SELECT candleworks.prepare_ticks(%s, %s)", [ago(days=20), ago(days=20)])
    tick(feeds, "AAPL", ago(days=20))
    refresh(feeds)
    feeds.execute("INSERT INTO candleworks.retention_horizons VALUES ('stocks_real_time', %s)", [ago(days=7)])
    rows = {
        relation: (rows, oldest)
        for relation, rows, oldest in feeds.execute("SELECT relation, rows, oldest FROM dashboards.storage()")
    }
    assert rows["stocks_real_time"] == (3, ago(seconds=2))
    assert rows["candles_1m"] == (None, ago(days=20))


@pytest.mark.parametrize(
    ("subject", "link"),
    [
        ("EUR/USD", "candleworks-market?var-symbol=%45%55%52%2f%55%53%44"),
        ("feed/crypto", "candleworks-health?var-feed=%63%72%79%70%74%6f"),
        ("stocks_real_time", "candleworks-storage?"),
        ("system", "candleworks-storage?"),
    ],
)
def test_the_subject_of_a_check_leads_to_what_shows_it(connection: Connection, subject: str, link: str) -> None:
    """A relation is no symbol with a chart."""
    assert connection.execute("SELECT dashboards.subject_link(%s)", [subject]).fetchone() == (link,)


def test_a_sample_is_shown_as_words(connection: Connection) -> None:
    """Key by key; null is said."""
    sample = '{"symbol": "AAPL", "price": 0, "note": null}'
    (text,) = connection.execute("SELECT dashboards.as_text(%s::jsonb)", [sample]).fetchone() or ("",)
    assert sorted(text.split(", ")) == ["note: null", "price: 0", "symbol: AAPL"]
    assert connection.execute("SELECT dashboards.as_text('\"text\"')").fetchone() == ("text",)


def test_the_server_speaks_of_itself(connection: Connection) -> None:
    """Real numbers: this connection at least, and locks that somebody waits for."""
    row = connection.execute(
        "SELECT connections, connections_percent, waiting FROM dashboards.database_state()"
    ).fetchone()
    assert row is not None
    assert row[0] >= 1
    assert 0 < row[1] < 100
    assert row[2] >= 0
