"""Files of trades and companies: whole or not at all, and never twice."""

import gzip
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.imports.importer import ImportResult, import_file
from tests.imports.conftest import GOOD, HEADER, Desk
from tests.storage.conftest import Book, Trade, at, wait_for_a_lock

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

NOON = at("2022-10-19 12:00:00")
MILLISECOND = timedelta(milliseconds=1)


def lines_of(rows: list[Trade]) -> str:
    return "".join(
        f"{event_time.isoformat(sep=' ')},{symbol},{price!r},{'' if day_volume is None else day_volume}\n"
        for event_time, symbol, price, day_volume in rows
    )


def some(count: int, first: datetime = NOON, step: timedelta = timedelta(seconds=1)) -> list[Trade]:
    """Trades of two symbols, three of each in an event time, some of them equal, some without a total."""
    return [
        Trade(first + n // 6 * step, ("AAPL", "BTC/USD")[n % 2], 1.0 + n % 5, None if n % 7 == 0 else float(n))
        for n in range(count)
    ]


def in_time(rows: list[Trade]) -> list[Trade]:
    return sorted(rows, key=lambda row: (row.symbol, row.event_time))


def test_every_way_to_write_the_same_file_stores_the_same(desk: Desk) -> None:
    """Line ends, a mark, a missing last line end, blank lines, quotes, spaces, columns in another order, gzip."""
    rows = some(20)
    text = HEADER + lines_of(rows)
    swapped = "".join(",".join(line.split(",")[n] for n in (2, 3, 0, 1)) + "\n" for line in text.splitlines())
    quoted = "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines())
    variants: list[str | bytes] = [
        text,
        text.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + text.encode(),
        text.removesuffix("\n"),
        text.replace("\n", "\n\n") + "   \n",
        text.replace("time,symbol", "Time, SYMBOL"),
        text.replace("+00:00,", "+00:00 , "),
        swapped,
        quoted,
        gzip.compress(text.encode()),
    ]
    for variant in variants:
        desk.connection.execute("DELETE FROM stocks_real_time")
        desk.connection.execute("DELETE FROM import_files")
        assert desk.summary(desk.take(variant)) == (20, 20, 0, 0), variant[:60]
        assert desk.book.stored() == in_time(rows)
        desk.book.assert_volumes_follow()


def test_a_newest_first_file_keeps_the_order_of_arrival(desk: Desk) -> None:
    """Seconds run backwards in it, the trades within a second forwards."""
    rows = some(30)
    backwards = [
        row
        for event_time in sorted({r.event_time for r in rows}, reverse=True)
        for row in rows
        if row.event_time == event_time
    ]
    desk.take(HEADER + lines_of(backwards))
    assert desk.book.stored() == in_time(rows)


def test_a_file_without_totals_has_no_volumes(desk: Desk) -> None:
    """The column day_volume may be missing altogether."""
    assert desk.summary(desk.take("time,symbol,price\n2022-10-19 12:00:01+00,AAPL,143.86\n")) == (1, 1, 0, 0)
    assert desk.book.rows() == [(NOON + timedelta(seconds=1), "AAPL", 143.86, None, None)]


def test_event_times_of_any_offset_are_utc(desk: Desk) -> None:
    """An offset is applied, the other separator of ISO 8601 is taken, and so is Z."""
    desk.take(
        f"{HEADER}2022-10-19T08:00:01-04:00,AAPL,1,\n2022-10-19T12:00:02Z,AAPL,2,\n2022-10-19 17:45:03+05:45,AAPL,3,"
    )
    assert [row[0] for row in desk.book.rows()] == [NOON + timedelta(seconds=n) for n in (1, 2, 3)]


def test_the_record_says_what_became_of_the_file(desk: Desk) -> None:
    """import_files has the path, the counts and the first and last event time."""
    result = desk.take(HEADER + lines_of(some(20)) + "x\n")
    row = desk.connection.execute(
        "SELECT path, rows, stored, duplicates, rejected, first, last, status FROM import_files"
    ).fetchone()
    assert row == (
        *(str(desk.directory / "trades.csv"), 21, 20, 0, 1),
        *(NOON, NOON + timedelta(seconds=3), "imported"),
    )
    assert not result.known
    assert result.candles["1d"] == 2


def test_candles_are_there_afterwards(desk: Desk) -> None:
    """Nobody has to refresh them."""
    desk.take(HEADER + lines_of(some(20)))
    assert desk.connection.execute("SELECT symbol, ticks FROM candles_1d ORDER BY symbol").fetchall() == [
        ("AAPL", 10),
        ("BTC/USD", 10),
    ]


def test_a_content_is_imported_once(desk: Desk) -> None:
    """Under another name it is recognised, and again says so."""
    text = HEADER + lines_of(some(20)) + "x\n"
    first = desk.take(text)
    counts = desk.counts()
    second = desk.take(desk.write(text, "copy.csv"))
    assert second.known
    assert second.record == first.record
    assert desk.counts() == counts == (20, 1, 1)


def test_importing_again_adds_nothing(desk: Desk) -> None:
    """--again reads the file once more: every row is a duplicate; one that was deleted comes back."""
    text = HEADER + lines_of(some(20))
    desk.take(text)
    again = desk.take(text, again=True)
    assert not again.known
    assert desk.summary(again) == (20, 0, 20, 0)
    desk.connection.execute("DELETE FROM stocks_real_time WHERE time >= %s", [NOON + timedelta(seconds=3)])
    assert desk.summary(desk.take(text, again=True)) == (20, 2, 18, 0)
    assert Counter(desk.book.stored()) == Counter(some(20))


def test_a_longer_recording_of_the_same_day_adds_what_is_new(desk: Desk) -> None:
    """Another content with the same rows and more."""
    desk.take(HEADER + lines_of(some(20)))
    assert desk.summary(desk.take(HEADER + lines_of(some(50)))) == (50, 30, 20, 0)
    assert desk.book.stored() == in_time(some(50))
    desk.book.assert_volumes_follow()


def test_a_file_completes_what_was_captured_live(desk: Desk) -> None:
    """Half its rows are there, some in other places of their second: each is stored as often as it happened."""
    rows = some(60)
    desk.book.merge(random.Random(1).sample(rows, 30))
    assert desk.summary(desk.take(HEADER + lines_of(rows))) == (60, 30, 30, 0)
    assert Counter(desk.book.stored()) == Counter(rows)
    desk.book.assert_volumes_follow()


def test_an_import_in_front_of_the_first_known_day_gives_it_its_volume(desk: Desk) -> None:
    """The first known total had no volume because nobody knew what came before; now it counts from zero."""
    desk.book.merge([Trade(at("2022-10-20 14:00:00"), "AAPL", 1.0, 70.0)])
    desk.take(HEADER + lines_of([Trade(at(f"2022-10-{day} 14:00:00"), "AAPL", 1.0, 50.0) for day in ("18", "19")]))
    assert [row[4] for row in desk.book.rows()] == [None, 50.0, 70.0]


dated = st.lists(
    st.builds(
        Trade,
        st.builds(
            lambda day, hour, second: at(f"2022-10-{day} {hour}:00:00") + timedelta(seconds=second),
            *(st.sampled_from(["18", "19", "20", "21"]), st.sampled_from(["00", "04", "12"]), st.integers(-1, 1)),
        ),
        st.sampled_from(["AAPL", "BTC/USD"]),
        st.sampled_from([1.0, 2.0]),
        st.none() | st.integers(0, 9).map(float),
    ),
    min_size=1,
    max_size=8,
)


@examples(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(st.sampled_from(["file", "merge"]), dated), min_size=1, max_size=4))
def test_files_and_ticks_in_any_order_make_one_history(desk: Desk, steps: list[tuple[str, list[Trade]]]) -> None:
    """Every trade as often as the richest source has it, ordinals dense, volumes as the order of time says."""
    desk.book.clear()
    desk.connection.execute("DELETE FROM import_files")
    wanted: Counter[Trade] = Counter()
    for kind, rows in steps:
        if kind == "file":
            desk.take(HEADER + lines_of(rows))
        else:
            desk.book.merge(rows)
        wanted |= Counter(rows)
        assert Counter(desk.book.stored()) == wanted
        desk.book.assert_volumes_follow()


def test_two_imports_of_a_file_at_once_do_it_once(dsn: str, desk: Desk) -> None:
    """The second waits, and then knows the content."""
    path = desk.write(HEADER + lines_of(some(300)))

    def run() -> ImportResult:
        with connect(dsn, "import") as connection:
            return import_file(connection, desk.settings, path)

    with ThreadPoolExecutor(2) as executor:
        results = [future.result(timeout=60) for future in [executor.submit(run) for _ in range(2)]]
    assert sorted(result.known for result in results) == [False, True]
    assert desk.counts() == (300, 0, 1)


def test_trades_that_somebody_stores_meanwhile_are_met(dsn: str, desk: Desk) -> None:
    """The import saw none of them when it began: it waits for the other transaction and then completes it."""
    rows = some(60)
    path = desk.write(HEADER + lines_of(rows))
    desk.book.store.prepare([int(NOON.timestamp()) * 1_000_000])

    def run() -> ImportResult:
        with connect(dsn, "import") as connection:
            return import_file(connection, desk.settings, path)

    with ThreadPoolExecutor(1) as executor, connect(dsn, "other", autocommit=False) as other:
        Book(other).merge(rows[20:30])
        importing = executor.submit(run)
        wait_for_a_lock(desk.connection, "import")
        other.commit()
        assert desk.summary(importing.result(timeout=60)) == (60, 50, 10, 0)
    assert Counter(desk.book.stored()) == Counter(rows)


def test_milliseconds_are_kept(desk: Desk) -> None:
    """Event times of one millisecond share it, and the second around them is no event time."""
    rows = some(60, NOON, MILLISECOND)
    desk.take(HEADER + lines_of(rows))
    assert desk.book.stored(MILLISECOND) == in_time(rows)
    assert desk.summary(desk.take(HEADER + lines_of(rows[6:]))) == (54, 0, 54, 0)


def test_our_own_export_is_the_same_recording(desk: Desk) -> None:
    """Its event times carry the ordinals in microseconds: they give the order and are given anew."""
    rows = some(20)
    desk.take(HEADER + lines_of(rows))
    exported = desk.connection.execute("SELECT time::text, symbol, price, day_volume FROM stocks_real_time").fetchall()
    text = HEADER + "".join(
        f"{time},{symbol},{price},{'' if v is None else v}\n" for time, symbol, price, v in exported
    )
    assert "12:00:00.000002+00" in text
    assert desk.summary(desk.take(text)) == (20, 0, 20, 0)
    desk.connection.execute("DELETE FROM stocks_real_time")
    desk.take(text, again=True)
    assert desk.book.stored() == in_time(rows)


@pytest.mark.parametrize("stored", [0, 1, 1_000])
def test_a_millisecond_holds_a_thousand_trades_of_a_symbol(desk: Desk, stored: int) -> None:
    """Those beyond are counted and kept with their lines, whether the others come with them or are there already."""
    rows = [Trade(NOON + MILLISECOND, "AAPL", 1.0 + n) for n in range(1_003)]
    other = [Trade(NOON + MILLISECOND, "BTC/USD", 1.0), Trade(NOON + 2 * MILLISECOND, "AAPL", 2.0)]
    if stored:
        desk.take(HEADER + lines_of(rows[:stored]))
    result = desk.take(HEADER + "\n" + lines_of([*other, *rows]))
    assert desk.summary(result) == (1_005, 1_002 - stored, stored, 3)
    assert [row[1:] for row in desk.rejected()] == [
        (f"line {n + 5}: its symbol already has 1,000 ticks with its event time", lines_of([rows[n]]).strip())
        for n in range(1_000, 1_003)
    ]
    assert Counter(desk.book.stored(MILLISECOND)) == Counter([*rows[:1_000], *other])


def test_an_import_of_companies_updates_what_changed(desk: Desk) -> None:
    """New and changed rows are stored, equal ones are duplicates, and what a file does not say stays."""
    first = desk.take("symbol,name,exchange\nAAPL,Apple,NASDAQ\nMSFT,Microsoft,NASDAQ\n")
    assert desk.summary(first) == (2, 2, 0, 0)
    second = desk.take("name,symbol\nApple Inc,AAPL\nMicrosoft,MSFT\n")
    assert desk.summary(second) == (2, 1, 1, 0)
    assert desk.connection.execute("SELECT symbol, name, exchange FROM company ORDER BY 1").fetchall() == [
        ("AAPL", "Apple Inc", "NASDAQ"),
        ("MSFT", "Microsoft", "NASDAQ"),
    ]
    assert desk.take("name,symbol\nApple Inc,AAPL\nMicrosoft,MSFT\n").known


def test_a_good_line_is_what_these_tests_call_one(desk: Desk) -> None:
    """The line that stands for good ones in the tests of bad ones is stored as it says."""
    desk.take(HEADER + GOOD)
    assert desk.book.stored() == [Trade(NOON + timedelta(seconds=1), "AAPL", 143.86, 51.0)]
