"""What candleworks itself writes reaches those who follow: feeds, imports, their undo, and filled gaps."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from candleworks import clock
from candleworks.candles.audit import audit
from candleworks.candles.reads import Period
from candleworks.candles.refresh import rebuild, refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.imports.importer import Reading, import_paths
from candleworks.imports.undo import undo_paths
from candleworks.settings import Settings
from candleworks.storage.trades import TradeStore
from candleworks.stream import Hub
from tests.candles.conftest import stored_table
from tests.gapfill.filling import NOON, SYMBOLS, Vendor, platform_of, vendor, without
from tests.storage.conftest import ZONES, LiveTrades, Trade, trades_of
from tests.stream.conftest import SECOND, Follow, Follower, Row, insert, shape, wanted

UTC_SYMBOL = "BTC/USD"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Vendor]:
    with vendor() as running:
        yield running


def log(connection: Connection) -> list[tuple[Any, ...]]:
    """What was logged of trades: symbols, and how many ticks of each."""
    return connection.execute(
        "SELECT symbols, counts FROM candleworks.stream_log WHERE changed = 'trade' ORDER BY position"
    ).fetchall()


def candles(connection: Connection, first: float, last: float) -> dict[float, tuple[Any, ...]]:
    rows = connection.execute(
        "SELECT extract(epoch FROM bucket)::float8, open, high, low, close, volume, ticks, closed, volume_from"
        " FROM ohlc(%s, '1 minute', to_timestamp(%s), to_timestamp(%s)) ORDER BY bucket",
        [UTC_SYMBOL, first, last + 60],
    ).fetchall()
    return {row[0]: row for row in rows}


def same(follower: Follower, connection: Connection, count: int) -> bool:
    """Whether the follower has `count` candles of a minute, and has them as SQL says."""
    seen = {time: shape(candle) for time, candle in follower.candles().items()}
    return len(seen) == count and seen == candles(connection, min(seen), max(seen))


def imported(connection: Connection, settings: Settings, path: Path, rows: list[Row]) -> None:
    path.write_text(
        "time,symbol,price\n" + "".join(f"{time.isoformat()},{symbol},{p}\n" for time, symbol, p, _ in rows)
    )
    (report,) = import_paths(connection, settings, [str(path)], Reading())
    assert report.error is None


def test_a_batch_of_a_feed_is_logged_once_and_sent_tick_by_tick(connection: Connection, hub: Hub) -> None:
    """With ticks that are late, which are merged; nothing is logged a second time by triggers."""
    live = LiveTrades(TradeStore(connection, "twelvedata", ZONES.__getitem__))
    follower = Follower(hub, wanted(UTC_SYMBOL, periods=[SECOND, Period("1m", seconds=60)]))
    follower.until(lambda events: events, "the snapshot")
    start = clock.now().replace(microsecond=0) - timedelta(minutes=3)
    live.write(trades_of([Trade(start + n * timedelta(seconds=1), UTC_SYMBOL, 1.0 + n) for n in range(100)]))
    late = trades_of([Trade(start - n * timedelta(seconds=1), UTC_SYMBOL, 0.5) for n in range(1, 71)])
    live.write(trades_of([Trade(start + timedelta(seconds=120), UTC_SYMBOL, 2.0)]), late)
    follower.until(lambda _: len(follower.named("tick")) == 171, "the ticks")
    assert log(connection) == [([UTC_SYMBOL], [100]), ([UTC_SYMBOL], [1]), ([UTC_SYMBOL], [70])]
    assert sum(tick.get("late", False) for tick in follower.named("tick")) == 70
    follower.until(lambda _: same(follower, connection, len(candles(connection, 0, 9e9))), "the candles")


def test_an_import_and_its_undo_are_candles_and_reloads(
    connection: Connection, settings: Settings, follow: Follow, tmp_path: Path
) -> None:
    """A file with new times is copied, one with others is merged; neither has ticks for those who want them."""
    start = clock.now().replace(second=0, microsecond=0) - DAY
    insert(connection, [(start - DAY, UTC_SYMBOL, 1.0, 1.0)])
    follower = follow(UTC_SYMBOL)
    rows: list[Row] = [(start + n * timedelta(seconds=20), UTC_SYMBOL, 2.0 + n, None) for n in range(200)]
    imported(connection, settings, tmp_path / "copied.csv", rows)
    follower.until(lambda _: same(follower, connection, 68), "the imported candles")
    merged: list[Row] = [(time + timedelta(seconds=1), symbol, price + 9, size) for time, symbol, price, size in rows]
    imported(connection, settings, tmp_path / "merged.csv", merged)
    follower.until(lambda _: any(c["high"] == 210.0 for c in follower.named("candle")), "the merged candles")
    follower.until(lambda _: same(follower, connection, 68), "the merged candles")
    assert [counts for _, counts in log(connection)[1:2]] == [None]
    assert follower.named("tick") == []
    list(undo_paths(connection, settings, [str(tmp_path / "merged.csv")]))
    follower.until(lambda _: follower.named("reload"), "the reload")
    assert follower.named("reload")[0]["from"] <= start.timestamp() < follower.named("reload")[-1]["to"]


def test_a_filled_gap_is_sent(connection: Connection, settings: Settings, follow: Follow, simulated: Vendor) -> None:
    """As the end of the gap, and as candles that are rebuilt."""
    platform = platform_of(connection, settings, simulated)
    start, stop = NOON - timedelta(minutes=2), NOON + timedelta(minutes=8)
    gap = (NOON, NOON + timedelta(minutes=4))
    for symbol in SYMBOLS:
        platform.store(without(simulated.ticks(symbol, start, stop), gap))
    follower = follow(UTC_SYMBOL)
    platform.book(*gap)
    platform.fill()
    follower.until(lambda _: len([c for c in follower.named("candle") if c["rebuilt"]]) >= 4, "the rebuilt candles")
    follower.until(lambda _: len(follower.named("gap")) >= 2, "the gap, and its end")
    times = {candle["time"] for candle in follower.named("candle") if candle["rebuilt"]}
    expected = candles(connection, start.timestamp(), stop.timestamp())
    seen = {time: shape(candle) for time, candle in follower.candles().items() if time in times}
    follower.until(
        lambda _: (
            {t: shape(c) for t, c in follower.candles().items() if t in times}
            == {time: expected[time] for time in times}
        ),
        "the candles of SQL",
    )
    assert seen


def test_a_repaired_candle_is_sent(connection: Connection, engine: Engine, follow: Follow) -> None:
    """An audit found that it was not what its ticks say."""
    start = clock.now().replace(second=0, microsecond=0) - timedelta(hours=2)
    insert(connection, [(start, UTC_SYMBOL, 1.0, 1.0)])
    refresh(connection)
    connection.execute(f"UPDATE {stored_table(connection, engine, '1m')} SET high = 9")
    follower = follow(UTC_SYMBOL)
    assert follower.candles()[start.timestamp()]["high"] == 9.0
    rebuild(connection, audit(connection, start - DAY, start + DAY).differences)
    follower.until(lambda _: [c["high"] for c in follower.named("candle")] == [1.0], "the repaired candle")
    assert same(follower, connection, 1)
