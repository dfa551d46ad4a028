"""Bars of bid and ask, in one file or in two, become candles of quotes."""

from datetime import timedelta
from typing import Any

import pytest

from candleworks.candles.audit import audit
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError
from candleworks.imports.importer import Reading, import_file
from tests.imports.conftest import Desk
from tests.imports.test_bars import HEADER, HOUR, MINUTE, START, Bar, bars_of

SPREAD = 0.000123


def asks_of(bars: list[Bar]) -> list[Bar]:
    return [(*(price + SPREAD for price in bar[:4]), bar[4] / 2) for bar in bars]  # type: ignore[misc]


def epochs(bars: list[Bar], step: timedelta) -> str:
    event_times = (int((START + number * step).timestamp() * 1000) for number in range(len(bars)))
    rows = (f"{event_time},{','.join(map(repr, bar))}\n" for event_time, bar in zip(event_times, bars, strict=True))
    return HEADER + "".join(rows)


def take(desk: Desk, text: str, name: str, **reading: Any) -> tuple[int, int, int, int]:
    return desk.summary(
        import_file(desk.connection, desk.settings, desk.write(text, name), Reading(**reading), again=True)
    )


def stored(desk: Desk, level: str) -> list[tuple[object, ...]]:
    return desk.connection.execute(
        "SELECT bucket, bid_open, bid_high, bid_low, bid_close, bid_volume,"
        f" ask_open, ask_high, ask_low, ask_close, ask_volume FROM quote_candles_{level} ORDER BY bucket"
    ).fetchall()


@pytest.mark.parametrize(("level", "step", "period"), [("1m", MINUTE, "m1"), ("1h", HOUR, "h1")])
def test_two_files_of_one_side_become_candles(desk: Desk, level: str, step: timedelta, period: str) -> None:
    """As dukascopy-node writes them, on both engines: a side waits for the other; again nothing is added."""
    bids = bars_of(5)
    asks = asks_of(bids)
    bid_file, ask_file = (f"eurusd-{period}-{side}-2024-01-15.csv" for side in ("bid", "ask"))
    assert take(desk, epochs(bids, step), bid_file) == (5, 5, 0, 0)
    assert stored(desk, level) == []
    assert take(desk, epochs(asks, step), ask_file) == (5, 5, 0, 0)
    expected = [(START + n * step, *bid, *ask) for n, (bid, ask) in enumerate(zip(bids, asks, strict=True))]
    assert [tuple(row) for row in stored(desk, level)] == [
        (time, *(pytest.approx(value, rel=1e-10) for value in values)) for time, *values in expected
    ]
    assert take(desk, epochs(bids, step), bid_file) == (5, 0, 5, 0)
    assert take(desk, epochs(asks, step), ask_file) == (5, 0, 5, 0)
    assert desk.connection.execute("SELECT count(*), min(origin) FROM quotes").fetchall() == [(20, "bar")]
    assert desk.connection.execute(
        "SELECT DISTINCT rebuilt FROM candleworks.candles_of('EUR/USD', %s, NULL, NULL, 'bid')", [step]
    ).fetchall() == [(True,)]
    assert not list(audit(desk.connection, START, START + 6 * step).differences)


def test_real_quotes_replace_bars_of_quotes(desk: Desk) -> None:
    """Whether they come by COPY or meet the bar's own quotes, and in either order; finer bars replace longer ones."""
    names = "timestamp,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n"
    rows = [f"{START + n * HOUR},1,1.4,0.9,1.2,1.1,1.5,1.0,1.3\n" for n in range(3)]
    assert take(desk, names + "".join(rows), "hours.csv", symbol="EUR/USD") == (3, 3, 0, 0)
    assert stored(desk, "1h")[1][1:5] == (1.0, 1.4, 0.9, 1.2)
    quote = f"time,symbol,bid,ask\n{START + HOUR + 7 * MINUTE},EUR/USD,5,6\n"
    take(desk, quote, "quotes.csv")
    assert [row[1:3] for row in stored(desk, "1h")] == [(1.0, 1.4), (5.0, 5.0), (1.0, 1.4)]
    minutes = names + "".join(f"{START + n * MINUTE},2,2,2,2,3,3,3,3\n" for n in range(2))
    assert take(desk, minutes, "minutes.csv", symbol="EUR/USD") == (2, 2, 0, 0)
    assert [row[1:3] for row in stored(desk, "1h")] == [(2.0, 2.0), (5.0, 5.0), (1.0, 1.4)]
    assert take(desk, names + "".join(rows), "hours.csv", symbol="EUR/USD") == (3, 0, 3, 0)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_crossed_bars_are_quarantined(desk: Desk) -> None:
    """In one file by their line, in two when the second one comes; mapped columns name the side."""
    names = "timestamp,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n"
    rows = [f"{START + n * MINUTE},1,1,1,1,{int(n < 3)},1,{int(n < 3)},1\n" for n in range(4)]
    assert take(desk, names + "".join(rows), "x.csv", symbol="A") == (4, 3, 0, 1)
    columns = {f"{{}}_{name}": name for name in ("open", "high", "low", "close")}
    for side, price, outcome in (("bid", 2, (2, 2, 0, 0)), ("ask", 1, (2, 0, 0, 2))):
        mapped = {ours.format(side): theirs for ours, theirs in columns.items()}
        text = "t,open,high,low,close\n" + "".join(
            f"{START + n * MINUTE},{price},{price},{price},{price}\n" for n in range(2)
        )
        assert take(desk, text, "y.csv", symbol="B", columns={"time": "t", **mapped}) == outcome
    assert [reason for _, reason, _ in desk.rejected()][-1] == "line 3: its ask is below the bid of the same bar"
    with pytest.raises(TerminalError, match="has no symbol in its name"):
        take(desk, names + "".join(rows), "bars.csv")
