"""Files of bars become marked candles that equal them to the last digit, and give way to real ticks."""

import random
from datetime import timedelta

import pytest

from candleworks.candles.audit import audit
from candleworks.candles.calendars import sync_calendars
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError
from candleworks.imports.importer import Reading, import_file
from tests.imports.conftest import Desk
from tests.storage.conftest import at

on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

START = at("2024-01-15 00:00:00")
MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE
HEADER = "timestamp,open,high,low,close,volume\n"
Bar = tuple[float, float, float, float, float]


def bars_of(count: int, seed: int = 1) -> list[Bar]:
    """Open, high, low, close, volume, with as many digits as a price may have."""
    rng = random.Random(seed)
    bars = []
    for _ in range(count):
        prices = sorted(round(rng.uniform(1, 1.2), 6) for _ in range(4))
        first, last = rng.choice([(prices[1], prices[2]), (prices[2], prices[1]), (prices[0], prices[3])])
        bars.append((first, prices[3], prices[0], last, round(rng.uniform(0, 1e6), 3)))
    return bars


def text_of(bars: list[Bar], step: timedelta, header: str = HEADER) -> str:
    rows = ((START + number * step, bar) for number, bar in enumerate(bars))
    return header + "".join(f"{time.isoformat()},{','.join(map(repr, bar))}\n" for time, bar in rows)


def stored(desk: Desk, level: str) -> list[tuple[object, ...]]:
    return desk.connection.execute(
        f"SELECT bucket, open, high, low, close, volume, rebuilt FROM candles_{level} ORDER BY symbol, bucket"
    ).fetchall()


def expected(bars: list[Bar], step: timedelta) -> list[tuple[object, ...]]:
    return [(START + number * step, *bar, True) for number, bar in enumerate(bars)]


def take(desk: Desk, text: str, name: str = "bars.csv", **reading: object) -> tuple[int, int, int, int]:
    result = import_file(desk.connection, desk.settings, desk.write(text, name), Reading(**reading), again=True)  # type: ignore[arg-type]
    return desk.summary(result)


@pytest.mark.parametrize(
    ("level", "minutes"), [("1m", 1), ("5m", 5), ("15m", 15), ("1h", 60), ("4h", 240), ("1d", 1440)]
)
def test_candles_equal_the_file(desk: Desk, level: str, minutes: int) -> None:
    """On both engines and at every level: prices and volumes to the last digit, all marked; again nothing is added."""
    bars, step = bars_of(7), minutes * MINUTE
    assert take(desk, text_of(bars, step), symbol="BTC/USD") == (7, 7, 0, 0)
    assert stored(desk, level) == expected(bars, step)
    assert take(desk, text_of(bars, step) + "\n", symbol="BTC/USD") == (7, 0, 7, 0)
    assert stored(desk, level) == expected(bars, step)
    assert desk.connection.execute("SELECT DISTINCT origin, day_volume FROM stocks_real_time").fetchall() == [
        ("bar", None)
    ]
    assert not list(audit(desk.connection, START, START + 8 * step).differences)


def test_finer_levels_of_a_long_bar_have_single_prices(desk: Desk) -> None:
    """No minute shows the range of an hour; the first has its open, the last its close and volume."""
    bar = (1.1, 1.4, 1.0, 1.3, 500.0)
    take(desk, text_of([bar] * 2, HOUR), symbol="BTC/USD")
    minutes = [row[:6] for row in stored(desk, "1m") if row[0] < START + HOUR]  # type: ignore[operator]
    assert [row[1:] for row in minutes] == [
        (1.1, 1.1, 1.1, 1.1, None),
        (1.0, 1.0, 1.0, 1.0, None),
        (1.4, 1.4, 1.4, 1.4, None),
        (1.3, 1.3, 1.3, 1.3, 500.0),
    ]
    assert minutes[0][0] == START
    assert minutes[-1][0] == START + 59 * MINUTE


def test_real_ticks_replace_bars_and_finer_bars_longer_ones(desk: Desk) -> None:
    """In whichever order they come: ticks, then bars of a minute, then bars of an hour."""
    hours, minutes = bars_of(3), bars_of(5, seed=2)
    take(desk, text_of(hours, HOUR), symbol="BTC/USD")
    take(desk, text_of(minutes, MINUTE), symbol="BTC/USD")
    assert stored(desk, "1m")[:5] == expected(minutes, MINUTE)
    assert stored(desk, "1h")[1:] == expected(hours, HOUR)[1:]
    ticks = f"time,symbol,price\n{START + 90 * MINUTE},BTC/USD,7\n{START + 2 * MINUTE},BTC/USD,8\n"
    take(desk, ticks, "ticks.csv")
    assert stored(desk, "1h")[1] == (START + HOUR, 7.0, 7.0, 7.0, 7.0, None, False)
    assert stored(desk, "1m")[2] == (START + 2 * MINUTE, 8.0, 8.0, 8.0, 8.0, None, False)
    assert stored(desk, "1m")[3] == expected(minutes, MINUTE)[3]
    before = stored(desk, "1m")
    assert take(desk, text_of(minutes, MINUTE), symbol="BTC/USD") == (5, 0, 5, 0)
    assert take(desk, text_of(hours, HOUR), symbol="BTC/USD") == (3, 0, 3, 0)
    assert stored(desk, "1m") == before


def test_bars_continue_running_totals(desk: Desk) -> None:
    """Beside ticks with day_volume the volumes of bars are their own, and that of the next tick is the rest."""
    desk.take(f"time,symbol,price,day_volume\n{START - HOUR},AAPL,1,100\n{START + HOUR},AAPL,1,5000\n")
    bars = [(1.0, 2.0, 0.5, 1.5, 100.0), (1.5, 2.0, 0.5, 1.0, 250.0)]
    take(desk, text_of(bars, MINUTE), symbol="AAPL")
    assert stored(desk, "1m")[1:3] == expected(bars, MINUTE)
    assert desk.connection.execute("SELECT sum(volume) FROM stocks_real_time").fetchone() == (5000 - 100,)


@on_postgres
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-01-15T00:01:00Z,1,2,3,1,5", "open 1 is below low 3"),
        ("2024-01-15T00:01:00Z,9,2,1,1,5", "high 2 is below open 9"),
        ("2024-01-15T00:01:00Z,1,2,1,9,5", "high 2 is below close 9"),
        ("2024-01-15T00:01:00Z,1,2,1,1,-5", "volume '-5' is negative"),
        ("2024-01-15T00:01:30Z,1,2,1,1,5", "time '2024-01-15T00:01:30Z' is not the start of a 1m bar in UTC"),
        ("2024-01-15T00:01:00Z,1,2,1,,5", "close '' is not a number"),
        ("2199-01-15T00:01:00Z,1,2,1,1,5", "time '2199-01-15T00:01:00Z' is in the future"),
    ],
)
def test_rows_that_are_no_bar_are_quarantined(desk: Desk, line: str, reason: str) -> None:
    """With line and reason, and the others are stored."""
    rest = text_of(bars_of(6), MINUTE).splitlines()[3:]
    assert take(desk, "\n".join([HEADER.strip(), *rest, line]), symbol="BTC/USD") == (5, 4, 0, 1)
    assert [payload for _, _, payload in desk.rejected()] == [line]
    assert [said for _, said, _ in desk.rejected()] == [f"line {2 + len(rest)}: {reason}"]


@on_postgres
@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-15,1,2,0.5,1.5,1.4,10\n2024-01-16,1,2,1,1,1,7\n", {}),
        ("20240115 000000;1;2;0.5;1.5;10\n20240115 000100;1;2;0.5;1.5;10\n", {"columns": True}),
        (
            "open time,open,high,low,close,volume,x\n1705276800000,1,2,0.5,1.5,10,3\n1705276860000,1,2,0.5,1.5,10,3\n",
            {},
        ),
    ],
)
def test_bars_of_others_are_recognised(desk: Desk, text: str, reading: dict[str, object]) -> None:
    """By the header, with further columns and dates; by a mapping where there is none."""
    if reading:
        columns = dict(zip(("time", "open", "high", "low", "close", "volume"), "123456", strict=True))
        reading = {"columns": columns, "timezone": "UTC"}
    assert take(desk, text, symbol="BTC/USD", **reading) == (2, 2, 0, 0)
    assert stored(desk, "1d")[0][1:3] == (1.0, 2.0)


@on_postgres
def test_bars_are_never_taken_for_ticks(desk: Desk) -> None:
    """Neither by a mapping nor without one; and nobody guesses how long a single bar is."""
    text = text_of(bars_of(3), MINUTE)
    refusals: list[tuple[str, dict[str, object], str]] = [
        (text, {"columns": {"time": "timestamp", "price": "close"}}, "contains bars: map bars, not ticks."),
        (text, {"format": "trades"}, "which is not the format trades"),
        ("time,symbol,price\n2024-01-15T00:00:00Z,A,1\n", {"format": "bars"}, "which is not the format bars"),
        (
            text_of(bars_of(1), MINUTE),
            {},
            "has only one bar of each symbol",
        ),
        (text_of(bars_of(9), MINUTE / 2), {}, "has bars every 30 s"),
        (text_of(bars_of(9), 7 * MINUTE), {}, "has bars every 420 s"),
        (text_of(bars_of(9), 7 * 24 * HOUR), {}, "has bars every 604800 s"),
    ]
    for content, reading, said in refusals:
        with pytest.raises(TerminalError) as caught:
            take(desk, content, **{"symbol": "X", **reading})
        assert said in str(caught.value)
    assert desk.ticks() == 0


@on_postgres
def test_long_bars_of_stocks_stand_in_their_sessions(desk: Desk) -> None:
    """A daily bar's first moment is the opening's, and its last is before the close."""
    text = "Date,Open,High,Low,Close\n2024-01-16,1,2,0.5,1.5\n2024-01-17,1,2,0.5,1.5\n"
    sync_calendars(desk.connection, desk.settings)
    take(desk, text, symbol="AAPL")
    row = desk.connection.execute(
        "SELECT min(time), max(time) FROM stocks_real_time WHERE time < '2024-01-17'"
    ).fetchone()
    assert row is not None
    assert (row[0] - at("2024-01-16 14:30:00")).total_seconds() < 1
    assert at("2024-01-16 20:59:00") < row[1] < at("2024-01-16 21:00:00")
