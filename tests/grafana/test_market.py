"""What the Market dashboard draws: candles and their lines, ranges, marks, turnover."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.reader_role import save_page_url
from tests.conftest import clone
from tests.grafana.conftest import NOW
from tests.grafana.expansion import variable_queries

MINUTE = timedelta(minutes=1)
OPEN = NOW.replace(hour=14, minute=30, second=0)  # of New York, on the Wednesday of NOW
THURSDAY = OPEN + timedelta(days=1)  # candles are stored up to NOW, so what tests add comes after it


# Lines of each choice.
CHOICES = {
    "none": 0, "ema": 2, "wma": 2, "bollinger": 4, "donchian": 4, "keltner": 4, "rsi": 1, "macd": 3, "atr": 1,
    "stochastic": 2, "obv": 1, "volatility": 1,
}  # fmt: skip


class Row(NamedTuple):
    time: datetime
    open: float | None
    high: float
    low: float
    close: float
    volume: float | None
    sma_20: float | None
    sma_50: float | None
    vwap: float | None
    forming: float | None
    decimals: int


def drawn(
    reader: Connection, symbol: str, start: datetime, stop: datetime, *, width: timedelta = MINUTE, side: str = "trade"
) -> list[Row]:
    statement = "SELECT * FROM dashboards.candles(%s, %s, %s, %s, %s)"
    return [Row(*row) for row in reader.execute(statement, [symbol, width, start, stop, side]).fetchall()]


def candles_of(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.open is not None]


def one(reader: Connection, statement: str, *parameters: object) -> Any:
    ((value,),) = reader.execute(statement, parameters).fetchall()
    return value


@pytest.fixture
def changed(filled: str) -> Iterator[Connection]:
    """A connection whose changes do not stay."""
    with connect(filled, "test") as owner, owner.transaction(force_rollback=True):
        yield owner


def trade(connection: Connection, symbol: str, time: datetime, price: float, volume: float | None = None) -> None:
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [time, time])
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, volume) VALUES (%s, %s, %s, %s)",
        [time, symbol, price, volume],
    )


@pytest.mark.parametrize(("symbol", "hours"), [("AAPL", 6), ("BTC/USD", 6), ("AAPL", 30)])
def test_averages_are_of_the_candles_before_and_inside_of_the_span(reader: Connection, symbol: str, hours: int) -> None:
    """Candles from before the visible range count, also over a night; what lies above or below it is not drawn."""
    rows = candles_of(drawn(reader, symbol, NOW - timedelta(hours=hours), NOW))
    closes = [row.close for row in candles_of(drawn(reader, symbol, NOW - timedelta(days=6), NOW))]
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    seen = 0
    for number, row in enumerate(rows):
        last = len(closes) - len(rows) + number + 1
        for average, count in ((row.sma_20, 20), (row.sma_50, 50)):
            expected = sum(closes[last - count : last]) / count
            assert average == (pytest.approx(expected) if low <= expected <= high else None)
            seen += average is not None
    assert seen > len(rows)


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD"])
def test_vwap_starts_anew_with_the_trading_day(reader: Connection, symbol: str) -> None:
    """New York's for its stocks, UTC's for coins; a day's first candle has none, so that days are not connected."""
    rows = candles_of(drawn(reader, symbol, NOW - timedelta(days=2), NOW))
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    day = timedelta(hours=5) if symbol == "AAPL" else timedelta()
    price, volume, seen = 0.0, 0.0, 0
    traded = {
        time: (amount, weight)
        for time, amount, weight in reader.execute(
            "SELECT bucket, volume, vwap * volume FROM candles_1m WHERE symbol = %s", [symbol]
        ).fetchall()
    }
    for before, row in pairwise(rows):
        if (before.time - day).date() != (row.time - day).date():
            assert row.vwap is None
            price, volume, seen = 0.0, 0.0, seen + 1
        amount, weight = traded[row.time]
        volume, price = volume + amount, price + weight
        if seen and row.vwap is not None:
            assert row.vwap == pytest.approx(price / volume)
            assert low <= row.vwap <= high
    assert seen == 2


@pytest.mark.parametrize("choice", CHOICES)
def test_the_chosen_indicator_has_a_line_for_each_candle(reader: Connection, choice: str) -> None:
    """Values of the candles above and no others; those of prices with the closes; lines end where those above do."""
    bounds = (NOW - timedelta(hours=30), NOW)
    candles = drawn(reader, "AAPL", *bounds)
    statement = "SELECT time, line, value FROM dashboards.indicator(%s, 'AAPL', '1 minute', %s, %s, 'trade')"
    rows = reader.execute(statement, [choice, *bounds]).fetchall()
    lines = {line for _, line, _ in rows}
    assert len(lines) == CHOICES[choice]
    assert ("Close" in lines) == (choice in ("ema", "wma", "bollinger", "donchian", "keltner"))
    for name in lines:
        assert [time for time, line, _ in rows if line == name] == [row.time for row in candles]
        ends = [time for time, line, value in rows if line == name and value is None]
        assert ends == [row.time for row in candles if row.open is None]


def test_every_choice_is_one_that_can_be_drawn() -> None:
    """The dashboard offers what the function knows."""
    market = json.loads(Path("grafana/dashboards/market.json").read_text(encoding="utf-8"))
    (offered,) = (variable for variable in market["templating"]["list"] if variable["name"] == "indicator")
    assert sorted(option["value"] for option in offered["options"]) == sorted(CHOICES)


def test_vwap_is_for_periods_below_a_day(reader: Connection) -> None:
    """A day's own is in its candle, and a line through them would connect sessions."""
    rows = candles_of(drawn(reader, "BTC/USD", NOW - timedelta(days=8), NOW, width=timedelta(days=1)))
    assert len(rows) == 9
    assert {row.vwap for row in rows} == {None}


def test_lines_end_where_the_market_was_closed(reader: Connection) -> None:
    """One empty row a candle's width behind the last candle of each session; none for markets that never close."""
    rows = drawn(reader, "AAPL", NOW - timedelta(days=6), NOW, width=timedelta(minutes=5))
    empty = [row.time for row in rows if row.open is None]
    assert [(time.isoweekday(), time.hour, time.minute) for time in empty] == [
        (4, 21, 5), (5, 21, 5), (1, 21, 5), (2, 21, 5),
    ]  # fmt: skip
    assert min(after.time - before.time for before, after in pairwise(rows)) == timedelta(minutes=5)
    coins = drawn(reader, "BTC/USD", NOW - timedelta(days=6), NOW, width=timedelta(minutes=5))
    assert all(row.open is not None for row in coins)


def test_daily_lines_pass_weekends(reader: Connection) -> None:
    """A line of days that ended at every weekend would be pieces of five."""
    rows = drawn(reader, "AAPL", NOW - timedelta(days=8), NOW, width=timedelta(days=1))[:-1]
    assert all(row.open is not None for row in rows)
    assert [row.time.isoweekday() for row in rows] == [2, 3, 4, 5, 1, 2, 3]


def test_lines_end_where_the_feed_was_down_and_pass_quiet_minutes(changed: Connection) -> None:
    """Nothing is known of the first, nothing happened in the second; nor does a filled gap end them."""
    for minute in (0, 1, 5, 15):
        trade(changed, "AAPL", THURSDAY + minute * MINUTE, 100.0 + minute)

    def empty() -> list[datetime]:
        rows = drawn(changed, "AAPL", THURSDAY, THURSDAY + timedelta(hours=1))
        return [row.time for row in rows if row.open is None]

    assert empty() == []
    gap = changed.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason)"
        " VALUES ('stocks', 'AAPL', %s, %s, 'silence') RETURNING id",
        [THURSDAY + 7 * MINUTE, THURSDAY + 9 * MINUTE],
    ).fetchall()[0]
    assert empty() == [THURSDAY + 6 * MINUTE]
    changed.execute("UPDATE feed_gaps SET filled_at = now() WHERE id = %s", gap)
    assert empty() == []


@pytest.mark.parametrize(("minutes", "span"), [(1, 120), (60, 7200), (60, 30), (1440, 30)])
def test_few_candles_are_no_blocks(reader: Connection, minutes: int, span: int) -> None:
    """Grafana draws bodies as wide as the smallest distance of two rows: at most as wide as among sixty."""
    width = timedelta(minutes=minutes)
    begun = one(reader, "SELECT min(bucket) FROM candles_1m WHERE symbol = 'BTC/USD'")
    rows = drawn(reader, "BTC/USD", begun - (span - 1) * MINUTE, begun + MINUTE, width=width)
    assert len(candles_of(rows)) <= 2
    assert min(after.time - before.time for before, after in pairwise(rows)) == min(width, span * MINUTE / 60)


def test_no_candles_are_no_rows(reader: Connection) -> None:
    """The panel then says so, instead of showing an empty chart."""
    assert drawn(reader, "ZZZ", NOW - timedelta(days=1), NOW) == []


def test_decimals_are_those_of_the_prices(changed: Connection) -> None:
    """Of the digits that came in, also where a middle of two prices has noise in its binary digits."""
    assert {row.decimals for row in candles_of(drawn(changed, "EUR/USD", OPEN, NOW, side="bid"))} == {6}
    for minute, price, decimals in ((0, 412.5, 1), (1, 412.25, 2), (2, 412.0, 2)):
        trade(changed, "MSFT", THURSDAY + minute * MINUTE, price)
        rows = candles_of(drawn(changed, "MSFT", THURSDAY, THURSDAY + timedelta(hours=1)))
        assert {row.decimals for row in rows} == {decimals}


def test_the_forming_candle_is_marked(changed: Connection) -> None:
    """Only the one whose time is not over."""
    now = datetime.now(UTC)
    for days, price in ((1, 1.5), (0, 2.5)):
        trade(changed, "NEW", now - timedelta(days=days), price)
    rows = candles_of(drawn(changed, "NEW", now - timedelta(days=2), now, width=timedelta(days=1)))
    assert [row.forming for row in rows] == [None, 2.5]


@pytest.mark.parametrize(
    ("choice", "span", "name", "label"),
    [
        ("auto", timedelta(hours=6), "1m", "1m"),
        ("auto", timedelta(hours=6.5), "1m", "1m"),
        ("auto", timedelta(days=1), "5m", "5m"),
        ("auto", timedelta(days=30), "4h", "4h"),
        ("auto", timedelta(days=3650), "1d", "1d"),
        ("1m", timedelta(days=3), "1m", "1m"),
        ("1m", timedelta(days=30), "15m", "15m instead of 1m"),
        ("1d", timedelta(minutes=5), "1d", "1d"),
    ],
)
def test_the_period_that_is_drawn_is_named(
    reader: Connection, choice: str, span: timedelta, name: str, label: str
) -> None:
    """By the range for auto; a chosen one holds while a screen can show its candles."""
    statement = "SELECT * FROM dashboards.drawn_period(%s, %s, %s)"
    assert reader.execute(statement, [choice, NOW - span, NOW]).fetchall() == [(name, label)]


def milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def test_the_last_session_is_what_its_market_has(reader: Connection) -> None:
    """Regular hours, up to now while they last; of what never closes the 24 hours up to the newest tick."""
    last = "SELECT dashboards.last_session(%s, %s)"
    opened, closed = OPEN, OPEN + timedelta(hours=6.5)
    before = milliseconds(opened - timedelta(days=1)), milliseconds(closed - timedelta(days=1))
    assert one(reader, last, "AAPL", NOW) == f"from={milliseconds(opened)}&to=now"
    assert one(reader, last, "AAPL", OPEN - MINUTE) == f"from={before[0]}&to={before[1]}"
    assert (
        one(reader, last, "AAPL", NOW + timedelta(days=3)) == f"from={milliseconds(opened)}&to={milliseconds(closed)}"
    )
    assert one(reader, last, "BTC/USD", NOW) == "from=now-24h&to=now"
    newest = one(reader, "SELECT max(time) FROM stocks_real_time WHERE symbol = 'BTC/USD'")
    day = f"from={milliseconds(newest - timedelta(days=1))}&to={milliseconds(newest)}"
    assert one(reader, last, "BTC/USD", NOW + timedelta(days=3)) == day
    assert one(reader, last, "EUR/USD", NOW) == "from=now-24h&to=now"
    assert one(reader, last, "nobody", NOW) == "from=now-24h&to=now"


def test_the_age_of_a_price_is_not_counted_while_its_market_is_closed(reader: Connection) -> None:
    """A price of Friday is not late on Saturday; where ticks come in all the same, they count."""
    age = "SELECT dashboards.age(%s, %s, %s)"
    closed = OPEN + timedelta(hours=6.5)
    assert one(reader, age, "AAPL", OPEN, OPEN + 10 * MINUTE) == 600
    assert one(reader, age, "AAPL", closed, closed + 10 * MINUTE) is None
    assert one(reader, age, "AAPL", closed + 10 * MINUTE, closed + 10 * MINUTE + timedelta(seconds=2.5)) == 2
    assert one(reader, age, "BTC/USD", closed, closed + 10 * MINUTE) == 600


def test_turnover_is_in_dollars_and_compared_with_the_largest(changed: Connection) -> None:
    """A pair in its second currency, a company in its own, pence included; what cannot be converted comes last."""
    traded = {
        "AAPL": (200.0, 5.0), "BTC/EUR": (1000.0, 2.0), "LON": (500.0, 100.0), "TYO": (3000.0, 1.0),
        "XYZ/QQQ": (1.0, 9.0), "EUR/USD": (1.5, None), "GBP/USD": (2.0, None), "USD/JPY": (150.0, None),
    }  # fmt: skip
    for symbol, (price, volume) in traded.items():
        trade(changed, symbol, THURSDAY, price, volume)
    changed.execute("INSERT INTO company VALUES ('LON', 'A', 'LSE', 'GBp'), ('TYO', 'B', 'JPX', 'JPY')")
    rows = changed.execute(
        "SELECT symbol, turnover, of_largest FROM dashboards.turnover(%s, %s)", [THURSDAY, THURSDAY + MINUTE]
    ).fetchall()
    assert [row for row in rows if row[1] is not None] == [
        ("BTC/EUR", 3000, 100), ("AAPL", 1000, pytest.approx(100 / 3)), ("LON", 1000, pytest.approx(100 / 3)),
        ("TYO", 20, pytest.approx(2 / 3)),
    ]  # fmt: skip
    assert {row[0] for row in rows[4:]} == {"XYZ/QQQ", "EUR/USD", "GBP/USD", "USD/JPY"}


def test_changes_start_at_zero_and_end_where_the_market_was_closed(reader: Connection) -> None:
    """Each symbol against its own first price in the range."""
    rows = reader.execute(
        "SELECT * FROM dashboards.changes(ARRAY['AAPL', 'BTC/USD'], %s, %s)", [NOW - timedelta(days=2), NOW]
    ).fetchall()
    stocks = [row for row in rows if row[1] == "AAPL"]
    assert [row[0].hour for row in stocks if row[2] is None] == [21, 21]
    assert all(row[2] is not None for row in rows if row[1] == "BTC/USD")
    first, last = (one(reader, f"SELECT {which} FROM ohlc('AAPL', '15m', %s, %s) ORDER BY bucket {order} LIMIT 1",
        NOW - timedelta(days=2), NOW) for which, order in (("open", "ASC"), ("close", "DESC")))  # fmt: skip
    assert stocks[-1][2] == pytest.approx(100 * (last / first - 1))


def test_gaps_say_what_happened_and_lead_to_it(changed: Connection) -> None:
    """Escaped, because the texts are HTML; not those in which nothing is missing."""
    changed.execute("DELETE FROM feed_gaps")
    start = OPEN - timedelta(hours=3)
    ((gap,),) = changed.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES ('stocks', NULL, %s, %s, '<b> & c')"
        " RETURNING id",
        [start, start + MINUTE],
    ).fetchall()
    marks = "SELECT started_at, ended_at, text, tags FROM dashboards.gap_marks('AAPL', %s, %s)"
    (mark,) = changed.execute(marks, [start - MINUTE, NOW]).fetchall()
    assert mark[:2] == (start, start + MINUTE)
    assert mark[2].startswith(
        "Gap, closed, not filled: feed stocks was down, &lt;b&gt; &amp; c."
        f' <a href="./d/candleworks-health?from={milliseconds(start - timedelta(hours=1))}&amp;to='
    )
    assert mark[2].endswith('">Ingest health</a>')
    assert mark[3] == "gap,closed, not filled"
    changed.execute(
        "INSERT INTO gap_fills (gap_id, symbol, outcome, bars, reason, attempts, at)"
        " VALUES (%s, 'AAPL', 'market_closed', 0, 'closed', 1, now())",
        [gap],
    )
    assert changed.execute(marks, [start - MINUTE, NOW]).fetchall() == []


def test_an_alert_is_a_mark_where_it_fires_and_one_where_it_is_resolved(reader: Connection) -> None:
    """Each names the check and leads to it; an alert of the symbol's feed is one of the symbol."""
    rows = reader.execute(
        "SELECT at, began, text, tags FROM dashboards.alert_marks('AAPL', %s, %s) ORDER BY at",
        [NOW - timedelta(days=1), NOW],
    ).fetchall()
    assert [(row[0], row[1]) for row in rows] == [
        (NOW - timedelta(hours=3), True), (NOW - timedelta(hours=1), True), (NOW, False),
    ]  # fmt: skip
    assert rows[0][2].startswith('lag of feed/stocks fires. <a href="./d/candleworks-quality?from=')
    assert rows[1][2].startswith("stale_ticks of AAPL fires. ")
    assert rows[2][2].startswith("lag of feed/stocks is resolved. ")
    assert [row[3] for row in rows] == ["alert,warning", "alert,critical", "alert,warning"]


def test_every_variable_has_a_value_before_the_first_tick(server_dsn: str, template: str) -> None:
    """Grafana shows an error for a query of a variable that returns no row."""
    with clone(server_dsn, template) as dsn, connect(dsn) as connection:
        chosen: dict[str, str | list[str]] = {"symbol": "", "period": "auto"}
        for query in variable_queries(NOW, chosen):
            if query.where.startswith("market"):
                assert connection.execute(query.expanded().encode()).fetchall(), query.where


def test_links_lead_to_the_page_of_the_configuration(changed: Connection) -> None:
    """Loopback until it is stored; the last one counts."""
    page = "SELECT dashboards.page_url()"
    assert one(changed, page) == "http://127.0.0.1:8050"
    for url in ("http://127.0.0.1:9000", "https://candles.example"):
        save_page_url(changed, url)
        assert one(changed, page) == url


def test_the_comparison_asks_for_the_hours_of_each_symbol_once(changed: Connection) -> None:
    """A symbol that is traded every other minute has a break after each candle, and calendars cost a millisecond."""
    for minutes in range(0, 60, 2):
        for symbol in ("SPARSE", "RARE"):
            trade(changed, symbol, THURSDAY + timedelta(minutes=minutes), 10.0)
    ((plan,),) = changed.execute(
        "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM dashboards.changes(ARRAY['SPARSE', 'RARE'], %s, %s)",
        [THURSDAY, THURSDAY + timedelta(hours=1)],
    ).fetchall()
    assert calls_of("trading_times", plan[0]["Plan"]) == 2


def calls_of(function: str, plan: dict[str, Any]) -> int:
    own = plan["Actual Loops"] if plan.get("Function Name") == function else 0
    return int(own) + sum(calls_of(function, below) for below in plan.get("Plans", []))
