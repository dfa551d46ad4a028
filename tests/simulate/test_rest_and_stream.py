"""The simulator's bars and its stream are the same market, to the tick."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from candleworks import clock
from candleworks.simulate import RunningSimulator, running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.market import LiveMarket
from candleworks.simulate.ticks import PriceEncoder

Join = Callable[..., Any]
Event = dict[str, Any]
MINUTE = 60
SYMBOLS = ("AAPL", "BTC/USD", "EUR/USD", "SPY")
PRICES = ("open", "high", "low", "close")
MIDNIGHTS = {"of UTC": 1_795_910_400, "of New York": 1_795_928_400}
SPEED = 20


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that is twenty times as fast, from now on."""
    start = time.time_ns()
    monkeypatch.setattr(clock, "now_us", lambda: (start + (time.time_ns() - start) * SPEED) // 1_000)


def bar_of(ticks: list[Event], before: int | None) -> tuple[float, ...]:
    """The prices of ticks and, where there are running totals, the increase over the one before them."""
    prices = [tick["price"] for tick in ticks]
    volume = () if before is None else (ticks[-1]["day_volume"] - before,)
    return (prices[0], max(prices), min(prices), prices[-1], *volume)


def total_before(earlier: list[Event], ticks: list[Event]) -> int | None:
    """The running total at the start of ticks, 0 on a new day; None where there is none."""
    if "day_volume" not in ticks[0]:
        return None
    before: int = earlier[-1]["day_volume"]
    return 0 if ticks[0]["day_volume"] < before else before


@pytest.mark.parametrize("midnight", MIDNIGHTS.values(), ids=MIDNIGHTS.keys())
def test_bars_of_every_instrument_are_those_of_its_ticks(midnight: int) -> None:
    """Around the start of a trading day, from which volumes are counted."""
    catalogue = built_in_catalogue()
    market = LiveMarket(catalogue, symbols=SYMBOLS, rate=20, seed=3)
    encoder = PriceEncoder(catalogue.instruments)
    rows = np.arange(len(catalogue.instruments))
    first, stop = midnight - 2 * MINUTE, midnight + 2 * MINUTE
    ticks: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for second in range(first - 10 * MINUTE, stop):
        found, _ = market.source.second(rows, second)
        for row, payload in zip(found.rows.tolist(), encoder.payloads(found), strict=True):
            ticks[row, second - second % MINUTE].append(json.loads(payload))
    compared = 0
    for row, instrument in enumerate(catalogue.instruments):
        bars = market.minute_bars(row, first, stop, (stop + 10) * 1_000_000)
        minutes = sorted(minute for of, minute in ticks if of == row)
        assert bars.starts.tolist() == [minute for minute in minutes if minute >= first]
        columns = (bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes)
        for minute, *values in zip(bars.starts.tolist(), *(column.tolist() for column in columns), strict=True):
            here = ticks[row, minute]
            if earlier := [tick for at in minutes if at < minute for tick in ticks[row, at]]:
                expected = bar_of(here, total_before(earlier, here))
                assert tuple(values[: len(expected)]) == expected, instrument.symbol
                compared += 1
    assert compared > 2 * len(rows)


@pytest.mark.usefixtures("fast_clock")
def test_what_a_client_received_is_what_it_can_request(join: Join) -> None:
    """Two minutes of ticks, read from the websocket, make the bars that are requested afterwards, to the last digit."""
    received: dict[str, list[Event]] = defaultdict(list)
    with running_simulator(rate=40, symbols=SYMBOLS) as simulator:
        feed = join(simulator)
        feed.subscribe(",".join(SYMBOLS))
        first = (clock.now_us() // 1_000_000 // MINUTE + 1) * MINUTE
        stop = first + 2 * MINUTE
        while (event := feed.event("price"))["timestamp"] <= stop + 1:
            received[event["symbol"]].append(event)
        requested = {symbol: request_bars(simulator, symbol, first, stop) for symbol in SYMBOLS}
    for symbol in SYMBOLS:
        for minute in (first, first + MINUTE):
            here = [tick for tick in received[symbol] if minute <= tick["timestamp"] < minute + MINUTE]
            earlier = [tick for tick in received[symbol] if tick["timestamp"] < minute]
            assert requested[symbol][minute] == bar_of(here, total_before(earlier, here)), symbol


def request_bars(simulator: RunningSimulator, symbol: str, first: int, stop: int) -> dict[int, tuple[float, ...]]:
    """The bars of [first, stop) by the second of their start."""
    start, last = (f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}" for second in (first, stop - MINUTE))
    query = {
        "symbol": symbol,
        "interval": "1min",
        "timezone": "UTC",
        "apikey": "x",
        "start_date": start,
        "end_date": last,
    }
    values = httpx.get(f"{simulator.rest_url}/time_series", params=query).json()["values"]
    return {
        int(datetime.fromisoformat(f"{value['datetime']}+00:00").timestamp()): tuple(
            float(value[name]) for name in (*PRICES, "volume") if name in value
        )
        for value in values
    }
