"""A file that is stored in many pieces is stored as if it were one, in whatever order, and whatever stops it."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.imports import chunks
from candleworks.imports.importer import Reading, import_file, import_paths
from candleworks.imports.report import FileProgress
from tests.imports.conftest import HEADER, Desk
from tests.storage.conftest import Trade, at

NOON = at("2022-10-19 12:00:00")
SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
SYMBOLS = ("AAPL", "BTC/USD")
on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
Order = Callable[[list[Trade]], list[Trade]]


class StopError(Exception):
    """What ends an import in the middle of its pieces."""


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some eight lines each."""
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 400)


def recording(count: int, seed: int, step: timedelta) -> list[Trade]:
    """Trades in order of time, of which many share an event time and some equal each other."""
    drawn = random.Random(seed)
    event_time, rows, totals = NOON - timedelta(hours=8), [], Counter[str]()
    for _ in range(count):
        event_time += step * drawn.choice([0, 0, 0, 1, 2])
        event_time += timedelta(hours=drawn.choice([0] * 30 + [9]))
        symbol = drawn.choice(SYMBOLS)
        totals[symbol] += drawn.randint(0, 3)
        total = None if drawn.random() < 0.2 else float(totals[symbol])
        rows.append(Trade(event_time, symbol, float(drawn.randint(1, 2)), total))
    return rows


def shuffled(rows: list[Trade]) -> list[Trade]:
    return random.Random(3).sample(rows, len(rows))


def jittered(rows: list[Trade]) -> list[Trade]:
    """As a recording by arrival is: some ticks come late, all within a few lines."""
    drawn = random.Random(4)
    return [row for _, row in sorted((place + drawn.choice([0, 0, 0, 3]), row) for place, row in enumerate(rows))]


def backwards(rows: list[Trade]) -> list[Trade]:
    event_times = sorted({row.event_time for row in rows}, reverse=True)
    return [row for event_time in event_times for row in rows if row.event_time == event_time]


def by_symbol(rows: list[Trade]) -> list[Trade]:
    return [row for symbol in SYMBOLS for row in rows if row.symbol == symbol]


ORDERS: list[Order] = [list, backwards, by_symbol, jittered, shuffled]


def text_of(rows: list[Trade]) -> str:
    return HEADER + "".join(
        f"{event_time.isoformat(sep=' ')},{symbol},{price!r},{'' if day_volume is None else day_volume}\n"
        for event_time, symbol, price, day_volume in rows
    )


def assert_all_there(desk: Desk, rows: list[Trade], step: timedelta) -> None:
    """Each as often as it happened, ordinals dense, volumes as the order of time says, candles right."""
    assert Counter(desk.book.stored(step)) == Counter(rows)
    desk.book.assert_volumes_follow()
    ticks = desk.connection.execute("SELECT sum(ticks) FROM candles_1d").fetchone()
    assert ticks == (len(rows),)


@on_postgres
@pytest.mark.parametrize(
    ("order", "step"), [*((order, SECOND) for order in ORDERS), (jittered, MILLISECOND), (backwards, MILLISECOND)]
)
def test_pieces_make_a_whole(desk: Desk, order: Order, step: timedelta) -> None:
    """In any order of lines; ticks of one event time keep their order wherever the file is in order of time."""
    rows = order(recording(60, 1, step))
    assert desk.summary(desk.take(text_of(rows))) == (60, 60, 0, 0)
    assert_all_there(desk, rows, step)
    if order is not shuffled:
        expected = sorted(rows, key=lambda row: (row.symbol, row.event_time))
        assert [row[:3] for row in desk.book.stored(step)] == [row[:3] for row in expected]
    assert desk.summary(desk.take(text_of(rows), again=True)) == (60, 0, 60, 0)
    assert desk.summary(desk.take(text_of(rows) + "\n", dry_run=True)) == (60, 0, 60, 0)


def stop_after(pieces: int) -> Callable[[FileProgress], None]:
    stored = []

    def stop(progress: FileProgress) -> None:
        if not progress.stage:  # a stage stores no ticks
            stored.append(progress)
        if len(stored) == pieces:
            raise StopError

    return stop


@pytest.mark.parametrize(
    ("engine", "order"),
    [(Engine.POSTGRES, list), (Engine.POSTGRES, backwards), (Engine.TIMESCALE, list)],
    indirect=["engine"],
)
def test_an_interrupted_import_goes_on_behind_its_last_piece(desk: Desk, order: Order) -> None:
    """Stopped again and again, on either engine: nothing twice, nothing missing, rejections kept once."""
    rows = order(recording(70, 2, SECOND))
    lines = text_of(rows).splitlines(keepends=True)
    path = desk.write("".join([*lines[:40], "broken\n", *lines[40:]]))
    rounds = 0
    while True:
        rounds += 1
        stored = desk.ticks()
        try:
            (report,) = import_paths(desk.connection, desk.settings, [path], progress=stop_after(3))
        except StopError:
            assert desk.ticks() > stored, "it went on"
            continue
        break
    assert rounds > 2
    assert report.result is not None
    assert report.result.resumed
    assert desk.summary(report.result) == (71, 70, 0, 1)
    assert [row[1] for row in desk.rejected()] == ["line 41: 1 fields instead of 4"]
    assert desk.connection.execute("SELECT status FROM import_files").fetchall() == [("imported",)]
    assert_all_there(desk, rows, SECOND)


@on_postgres
def test_an_interrupted_import_without_order_goes_on(desk: Desk) -> None:
    """Its first pieces are known to the rest, which comes at once."""
    rows = recording(60, 5, SECOND)
    path = desk.write(text_of(rows[:30] + shuffled(rows)[:30] + rows[:10]))
    with pytest.raises(StopError):
        list(import_paths(desk.connection, desk.settings, [path], progress=stop_after(2)))
    assert 0 < desk.ticks() < 30
    assert desk.summary(import_file(desk.connection, desk.settings, path)) == (70, 70, 0, 0)
    assert Counter(desk.book.stored()) == Counter(rows[:30] + shuffled(rows)[:30] + rows[:10])
    desk.book.assert_volumes_follow()


@on_postgres
def test_reading_otherwise_begins_anew(desk: Desk) -> None:
    """A place in the file means nothing when the file is read in another way."""
    text = "t,p\n" + "".join(f"{1_478_559_600 + n},1.5\n" for n in range(200))
    path = desk.write(text)
    columns = {"time": "t", "price": "p"}
    with pytest.raises(StopError):
        list(
            import_paths(
                desk.connection, desk.settings, [path], Reading(columns=columns, symbol="A"), progress=stop_after(2)
            )
        )
    result = desk.take(path, columns=columns, symbol="B")
    assert not result.resumed
    assert desk.summary(result) == (200, 200, 0, 0)
    assert {row[1] for row in desk.book.rows()} == {"A", "B"}


history = st.lists(
    st.builds(
        Trade,
        st.integers(0, 6).map(lambda n: NOON + timedelta(seconds=n)),
        st.sampled_from(SYMBOLS),
        st.sampled_from([1.0, 2.0]),
        st.none() | st.integers(0, 5).map(float),
    ),
    min_size=1,
    max_size=30,
)


@on_postgres
@examples(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.lists(history, max_size=1), rows=history, stops=st.integers(0, 3))
def test_any_file_completes_any_history(desk: Desk, before: list[list[Trade]], rows: list[Trade], stops: int) -> None:
    """Lines in any order, pieces of two lines, stopped or not, over ticks that may be there: the richer source wins."""
    desk.book.clear()
    desk.connection.execute("DELETE FROM import_files")
    for known in before:
        desk.book.merge(known)
    path = desk.write(text_of(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "BLOCK_BYTES", 80)
        for _ in range(stops):
            try:
                list(import_paths(desk.connection, desk.settings, [path], progress=stop_after(1)))
            except StopError:
                continue
        import_file(desk.connection, desk.settings, path)
    wanted = Counter(rows)
    for known in before:
        wanted |= Counter(known)
    assert Counter(desk.book.stored()) == wanted
    desk.book.assert_volumes_follow()


@on_postgres
def test_ticks_that_arrive_meanwhile_are_met(desk: Desk, dsn: str) -> None:
    """Somebody stores the same trades between two pieces."""
    rows = recording(100, 6, SECOND)
    with connect(dsn, "other") as other:

        def merge(progress: FileProgress) -> None:
            if progress.rows < 50:
                type(desk.book)(other).merge(rows[40:60])

        (report,) = import_paths(desk.connection, desk.settings, [desk.write(text_of(rows))], progress=merge)
    assert report.result is not None
    assert report.result.record.rows == 100
    assert report.result.record.duplicates > 0
    assert Counter(desk.book.stored()) == Counter(rows)
    desk.book.assert_volumes_follow()
