"""Running totals of different sources on one trading day: none of them moves the volumes of another."""

import random
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.candles.bar_writer import BarWriter
from candleworks.database.engine import Engine
from candleworks.feed.sequencer import Sequencer
from candleworks.imports.undo import undo_paths
from candleworks.model.bars import LIVE_ORIGIN, Bar
from candleworks.model.trades import MICROSECONDS, microseconds_of
from candleworks.settings import Ingest
from candleworks.storage.trades import TradeStore
from candleworks.vendor.protocol import PriceEvent
from tests.imports.conftest import HEADER, Desk
from tests.storage.conftest import NEW_YORK, ZONES, Trade, at, trades_of

NOON = at("2022-10-19 16:00:00")
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def feed(desk: Desk) -> TradeStore:
    return TradeStore(desk.connection, LIVE_ORIGIN, ZONES.__getitem__)


def store(desk: Desk, rows: Sequence[Trade]) -> None:
    """Ticks of the feed, as it stores late ones."""
    desk.book.merge(rows, store=feed(desk))


def take(desk: Desk, rows: Sequence[Trade], name: str = "trades.csv") -> None:
    desk.take(desk.write(HEADER + "".join(line(row) for row in rows), name))


def line(row: Trade) -> str:
    total = "" if row.day_volume is None else row.day_volume
    return f"{row.event_time.isoformat(sep=' ')},{row.symbol},{row.price!r},{total}\n"


def climbing(start: float, step: float, first: int, count: int) -> list[Trade]:
    """A trade a minute from `first` minutes after noon on, whose total rises by `step`."""
    return [Trade(NOON + (first + n) * MINUTE, "AAPL", 1.0, start + n * step) for n in range(count)]


def volumes(desk: Desk, origin: str) -> list[float | None]:
    rows = desk.connection.execute("SELECT volume FROM stocks_real_time WHERE origin = %s ORDER BY time", [origin])
    return [volume for (volume,) in rows]


def resumed(desk: Desk) -> Sequencer:
    """The sequencer of a feed that starts."""
    sequencer = Sequencer(Ingest(max_age_days=None))
    sequencer.add_symbols({"AAPL": NEW_YORK}, feed(desk).positions(["AAPL"]))
    return sequencer


def live(sequencer: Sequencer, rows: Sequence[Trade]) -> list[float | None]:
    events = [
        PriceEvent("price", r.symbol, int(r.event_time.timestamp()), r.price, r.day_volume, None, None) for r in rows
    ]
    arrivals = [event.timestamp * MICROSECONDS for event in events]
    return sequencer.sequence(events, arrivals, [b""] * len(events)).trades.volume


def known_day(desk: Desk) -> None:
    """A day before, so that the first total of the next one counts from zero."""
    store(desk, [Trade(NOON - DAY, "AAPL", 1.0, 5.0)])


def test_a_file_with_larger_totals_leaves_the_feed_its_volumes(desk: Desk) -> None:
    """Those that are stored, a late tick, and the ticks after a restart."""
    known_day(desk)
    store(desk, climbing(1_000, 250, 0, 10))
    take(desk, climbing(42_000_000, 7, -60, 120))
    assert volumes(desk, LIVE_ORIGIN)[2:] == [250.0] * 9
    assert volumes(desk, "file")[1:] == [7.0] * 119
    store(desk, [Trade(NOON + 5 * MINUTE + SECOND, "AAPL", 1.0, 2_350.0)])
    assert volumes(desk, LIVE_ORIGIN)[2:] == [250.0] * 5 + [100.0, 150.0] + [250.0] * 3
    assert live(resumed(desk), climbing(3_500, 250, 70, 3)) == [250.0] * 3


def test_the_first_tick_of_a_feed_does_not_carry_the_day_of_a_file(desk: Desk) -> None:
    """Another source has told what was traded before; how much of that is in the feed's first total is unknown."""
    known_day(desk)
    take(desk, climbing(1_000, 250, 0, 10))
    first = climbing(42_000_000, 100, 20, 3)
    assert live(resumed(desk), first) == [None, 100.0, 100.0]
    store(desk, first)
    assert volumes(desk, LIVE_ORIGIN)[1:] == [None, 100.0, 100.0]
    assert volumes(desk, "file")[1:] == [250.0] * 9


def test_a_file_behind_the_ticks_of_the_feed_does_not_carry_their_totals(desk: Desk) -> None:
    """Also when it comes in pieces that meet nothing, and the other way round the feed is not raised by it."""
    known_day(desk)
    store(desk, climbing(1_000, 250, 0, 3))
    take(desk, climbing(42_000_000, 7, 10, 3))
    take(desk, climbing(42_000_021, 7, 13, 3), "later.csv")
    assert volumes(desk, "file") == [None] + [7.0] * 5
    assert live(resumed(desk), climbing(1_750, 250, 20, 2)) == [250.0, 250.0]


def test_the_next_day_begins_with_zero_for_each_source(desk: Desk) -> None:
    """As it does for a symbol with one source."""
    known_day(desk)
    take(desk, climbing(42_000_000, 7, 0, 2))
    store(desk, climbing(1_000, 250, 5, 2))
    assert live(resumed(desk), [Trade(NOON + DAY, "AAPL", 1.0, 90.0)]) == [90.0]


def bar_between(desk: Desk, at_minute: int, volume: float) -> float | None:
    """Fill a gap of most of a minute with a bar, and return the volume of the bar's ticks."""
    start = microseconds_of(NOON + at_minute * MINUTE)
    gap = [(start + MICROSECONDS, start + 59 * MICROSECONDS)]
    writer = BarWriter(desk.connection, ZONES.__getitem__)
    bar = Bar(start, 1.0, 2.0, 0.5, 1.5, volume)
    writer.prepare([bar])
    with desk.connection.transaction():
        writer.write("AAPL", [bar], gap)
    (total,) = desk.connection.execute("SELECT sum(volume) FROM stocks_real_time WHERE origin = 'bar'").fetchone() or (
        0,
    )
    return total if total is None else float(total)


@pytest.mark.parametrize("file_total", [10.0, 42_000_000.0])
def test_a_bar_in_a_gap_of_the_feed_has_its_own_volume_beside_a_file(desk: Desk, file_total: float) -> None:
    """It continues the feed's total, and what is left of the gap stays with the feed's next tick."""
    known_day(desk)
    rows = climbing(1_000, 250, 0, 10)
    store(desk, rows[:4] + rows[5:])
    take(desk, [row._replace(event_time=row.event_time + 20 * SECOND) for row in climbing(file_total, 3, -10, 13)])
    assert bar_between(desk, 4, 180.0) == 180.0
    assert volumes(desk, LIVE_ORIGIN)[2:] == [250.0] * 3 + [320.0] + [250.0] * 4
    assert volumes(desk, "file")[1:] == [3.0] * 12


def test_bars_that_exceed_the_feed_take_nothing_from_later_ticks(desk: Desk) -> None:
    """The vendor's bars may count more than its running total: after a restart only the next tick gives way to them."""
    known_day(desk)
    store(desk, climbing(1_000, 250, 0, 4))
    assert bar_between(desk, 4, 10_000.0) == 10_000.0
    assert live(resumed(desk), climbing(2_000, 250, 5, 3)) == [0.0, 250.0, 250.0]


def test_a_file_that_repeats_a_trade_of_the_feed_continues_its_total(desk: Desk) -> None:
    """It is a recording of the same feed: what it adds is part of the same total, whichever of both came first."""
    known_day(desk)
    rows = climbing(1_000, 250, 0, 12)
    store(desk, rows[:3] + rows[8:9])
    take(desk, rows[2:11])
    counted = "SELECT sum(volume), max(volume) FROM stocks_real_time WHERE time > %s"
    assert desk.connection.execute(counted, [NOON]).fetchone() == (2_500.0, 250.0)
    assert live(resumed(desk), rows[11:]) == [250.0]


def test_ticks_of_the_feed_that_repeat_a_file_continue_its_total(desk: Desk) -> None:
    """As those of the spool do, when the day was imported meanwhile."""
    known_day(desk)
    rows = climbing(1_000, 250, 0, 12)
    take(desk, rows[:9])
    store(desk, rows[4:])
    assert [row[4] for row in desk.book.rows()][2:] == [250.0] * 11


def test_a_file_that_fits_into_a_gap_of_the_feed_continues_its_total(desk: Desk) -> None:
    """It repeats no trade, but each of its totals lies between those of the feed: nothing is counted twice."""
    known_day(desk)
    rows = climbing(1_000, 250, 0, 12)
    store(desk, rows[:3] + rows[8:])
    take(desk, rows[3:8])
    assert [row[4] for row in desk.book.rows()][2:] == [250.0] * 11


@one_engine
def test_an_undone_import_leaves_no_trace_in_the_volumes(desk: Desk) -> None:
    """Nor in what is known of its source: another file of that day is not taken for a recording."""
    known_day(desk)
    rows = climbing(1_000, 250, 0, 12)
    store(desk, rows[:3] + rows[8:])
    before = desk.book.rows()
    take(desk, rows)
    (report,) = undo_paths(desk.connection, desk.settings, [desk.directory / "trades.csv"])
    assert report.undone is not None, report.error
    assert desk.book.rows() == before
    take(desk, climbing(42_000_000, 7, -60, 120), "other.csv")
    assert volumes(desk, LIVE_ORIGIN)[2:] == [row[4] for row in before][2:]


offsets = st.integers(0, 2 * 86_400)
walks = st.lists(
    st.tuples(offsets, st.sampled_from(["file", LIVE_ORIGIN]), st.none() | st.integers(1, 9)),
    min_size=1,
    max_size=10,
    unique_by=lambda step: step[0],
)


def by_rule(steps: Sequence[tuple[Trade, str]]) -> list[float | None]:
    """The volume of each trade of one symbol by its own source, given in order of time."""
    found: list[float | None] = []
    highest: dict[tuple[object, str], float] = {}
    for trade, origin in steps:
        day, total = trade.event_time.astimezone(ZoneInfo("America/New_York")).date(), trade.day_volume
        before = highest.get((day, origin))
        if before is None and not any(known == day for known, _ in highest):
            older = any(earlier.event_time.astimezone(NEW_YORK).date() < day for earlier, _ in steps)
            before = 0.0 if older else None
        found.append(None if total is None or before is None else max(total - before, 0.0))
        if total is not None:
            highest[day, origin] = max(total, highest.get((day, origin), 0.0))
    return found


@one_engine
@examples(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(walk=walks, seed=st.integers(0, 99))
def test_each_source_has_the_volumes_that_it_has_alone(
    desk: Desk, walk: list[tuple[int, str, int | None]], seed: int
) -> None:
    """In any order of arrival, with totals that tell the sources apart; but for each one's first of a day."""
    desk.book.clear()
    desk.connection.execute("DELETE FROM import_files")
    steps = [
        (Trade(NOON + n * SECOND, "AAPL", 1.0, total and total + (1e6 if origin == "file" else 0.0)), origin)
        for n, origin, total in sorted(walk)
    ]
    for number, (trade, origin) in enumerate(random.Random(seed).sample(steps, len(steps))):
        if origin == "file":
            take(desk, [trade], f"{number}.csv")
        else:
            store(desk, [trade])
    assert [row[4] for row in desk.book.rows()] == by_rule(steps)
    assert len(trades_of(trade for trade, _ in steps)) == len(steps)
