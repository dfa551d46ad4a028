import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.market import DAY_SECONDS, LiveCursor, LiveMarket
from candleworks.simulate.ticks import Ticks

SECOND_US = 1_000_000
NOW = 1_795_200_000
SYMBOLS = ("AAPL", "BTC/USD", "EUR/USD")


def market(rate: float) -> LiveMarket:
    return LiveMarket(built_in_catalogue(), symbols=SYMBOLS, rate=rate, seed=1)


def rows_of(live: LiveMarket, symbols: tuple[str, ...] = SYMBOLS) -> list[int]:
    return [live.catalogue.find_or_invent(symbol) for symbol in symbols]


def identities(ticks: Ticks) -> list[tuple[float, ...]]:
    columns = (ticks.rows, ticks.event_times, ticks.prices, ticks.volumes)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def of_rows(ticks: Ticks, rows: list[int]) -> list[tuple[float, ...]]:
    return identities(ticks[np.flatnonzero(np.isin(ticks.rows, rows))])


def drained(cursor: LiveCursor, now_us: int, limit: int = 1000) -> Ticks:
    parts = []
    while len(part := cursor.take(now_us, limit)):
        parts.append(part)
    return Ticks.joined(parts)


@given(
    rate=st.sampled_from([1.0, 20.0, 2000.0]),
    pauses_us=st.lists(st.integers(0, 1_500_000), min_size=1, max_size=12),
    limit=st.sampled_from([1, 7, 10_000]),
)
@settings(max_examples=40, deadline=None)
def test_every_tick_is_taken_once_however_often_one_asks(rate: float, pauses_us: list[int], limit: int) -> None:
    """Asking in small steps and small portions gives, in the same order, what asking once at the end gives."""
    live = market(rate)
    often, once = live.cursor(), live.cursor()
    now_us = NOW * SECOND_US + 123_456
    often.subscribe(rows_of(live), now_us)
    once.subscribe(rows_of(live), now_us)
    taken = []
    for pause_us in pauses_us:
        now_us += pause_us
        taken.append(drained(often, now_us, limit))
    assert identities(Ticks.joined(taken)) == identities(drained(once, now_us))


def test_an_event_time_never_lies_in_the_future() -> None:
    """What is taken at an instant is stamped with a second that has ended by then."""
    live = market(rate=50)
    cursor = live.cursor()
    for step in range(100):
        now_us = NOW * SECOND_US + step * 70_000
        if not step:
            cursor.subscribe(rows_of(live), now_us)
        ticks = cursor.take(now_us, 1000)
        assert all(event_time + 1 <= now_us / SECOND_US for event_time in ticks.event_times.tolist())


def test_a_later_subscription_does_not_disturb_the_others() -> None:
    """Adding and removing symbols in the middle of a second neither repeats nor loses ticks of the rest."""
    live = market(rate=500)
    first, *others = rows_of(live)
    steady, busy = live.cursor(), live.cursor()
    now_us = NOW * SECOND_US
    steady.subscribe([first], now_us)
    busy.subscribe([first], now_us)
    expected, got = [], []
    for step in range(40):
        now_us += 90_001
        if step % 4 == 1:
            busy.subscribe(others, now_us)
        if step % 4 == 3:
            busy.unsubscribe(others)
        expected += identities(drained(steady, now_us))
        got += of_rows(drained(busy, now_us), [first])
    assert got == expected


def test_the_snapshot_is_the_last_tick_that_would_have_been_sent() -> None:
    """Who subscribes anew is given the very tick that who stayed was given last, and then the same ones."""
    live = market(rate=30)
    rows = rows_of(live)
    stayed = live.cursor()
    now_us = NOW * SECOND_US
    last = {row: tick for row in rows for tick in of_rows(stayed.subscribe(rows, now_us), [row])}
    for step in range(50):
        now_us += 333_333 + step
        for tick in identities(drained(stayed, now_us)):
            last[int(tick[0])] = tick
        returned = live.cursor()
        assert identities(returned.subscribe(rows, now_us)) == [last[row] for row in rows]
    assert identities(drained(returned, now_us + SECOND_US)) == identities(drained(stayed, now_us + SECOND_US))


def test_a_symbol_is_given_one_snapshot_however_often_it_is_asked() -> None:
    """Subscribing twice to the same symbol brings no second snapshot."""
    live = market(rate=30)
    rows = rows_of(live)
    cursor = live.cursor()
    assert len(cursor.subscribe(rows[:1], NOW * SECOND_US)) == 1
    assert len(cursor.subscribe(rows, NOW * SECOND_US)) == len(rows) - 1
    assert len(cursor.subscribe(rows, NOW * SECOND_US)) == 0


def test_the_rate_is_that_of_the_chosen_symbols_together() -> None:
    """Ten minutes of the three symbols hold the rate's number of ticks, within a tenth."""
    live = market(rate=12)
    cursor = live.cursor()
    cursor.subscribe(rows_of(live), NOW * SECOND_US)
    count = len(drained(cursor, (NOW + 600) * SECOND_US))
    assert abs(count - 7200) < 720


def test_bars_end_with_what_was_sent() -> None:
    """The forming minute's bar covers the whole seconds that every client has seen, no later ones."""
    live = market(rate=30)
    row = rows_of(live)[0]
    minute = NOW - NOW % 60
    assert len(live.minute_bars(row, minute, minute + 60, minute * SECOND_US)) == 0
    bars = live.minute_bars(row, minute, minute + 60, (minute + 31) * SECOND_US + 999_999)
    sent = Ticks.joined([live.source.second(np.array([row]), second)[0] for second in range(minute, minute + 30)])
    assert bars.closes.tolist() == [sent.prices[-1]]
    assert bars.highs.tolist() == [sent.prices.max()]


def test_bars_of_whole_days_equal_bars_of_their_hours() -> None:
    """Days are computed at once and kept; pieces of them say the same."""
    live = market(rate=30)
    day = NOW - NOW % 86_400 - 86_400
    whole = live.minute_bars(rows_of(live)[0], day, day + 86_400, NOW * SECOND_US)
    pieces = [
        live.minute_bars(rows_of(live)[0], day + h * 3600, day + h * 3600 + 3600, NOW * SECOND_US) for h in range(24)
    ]
    assert len(whole) == 1440
    assert whole.closes.tolist() == [close for piece in pieces for close in piece.closes.tolist()]
    assert whole.volumes.tolist() == [volume for piece in pieces for volume in piece.volumes.tolist()]


def test_bars_of_a_day_need_little_memory() -> None:
    """Containers limit it: ticks of a whole day, made at once, took ten times as much, and the simulator was killed."""
    live = market(rate=200)
    (row,) = rows_of(live, ("BTC/USD",))
    day = NOW - NOW % DAY_SECONDS
    tracemalloc.start()
    try:
        bars = live.minute_bars(row, day, day + DAY_SECONDS, (day + 2 * DAY_SECONDS) * SECOND_US)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bars.starts.tolist() == list(range(day, day + DAY_SECONDS, 60))
    assert peak < 50_000_000


def test_bars_do_not_depend_on_where_a_request_begins() -> None:
    """Nor on how long it is."""
    live = market(rate=20)
    for row in rows_of(live):
        first, known = NOW - NOW % 60, (NOW + DAY_SECONDS) * SECOND_US
        whole = live.minute_bars(row, first, first + 3 * 3_600, known)
        part = live.minute_bars(row, first + 1_020, first + 7_320, known)
        for name in ("starts", "opens", "highs", "lows", "closes", "volumes"):
            expected = getattr(whole, name)[np.isin(whole.starts, part.starts)]
            assert getattr(part, name).tolist() == expected.tolist()
        assert (part.starts[0], part.starts[-1]) == (first + 1_020, first + 7_260)
