"""Writers and refreshes at the same time lose no tick and no note of one."""

import itertools
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from tests.candles.conftest import LEVELS, Market, Tick, tick

PATIENCE_SECONDS = 60
MINUTES = [datetime(2022, 10, 23, 23, 50, tzinfo=UTC) + timedelta(minutes=7 * n) for n in range(6)]

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def run_together(*actions: Callable[[], None]) -> None:
    """Run each action in a thread of its own; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[action], daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_no_note_is_lost_between_writers_and_refreshes(dsn: str, market: Market) -> None:
    """Three writers change the same few minutes while two refreshes run: in the end every candle is right."""
    market.prepare(Tick(minute, "AAPL", 1.0) for minute in MINUTES)
    writing = threading.Event()
    writing.set()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with connect(dsn, f"writer {seed}") as connection:
            mine = Market(connection)
            for step in range(60):
                offset = timedelta(microseconds=3 * step + seed)
                mine.insert(
                    Tick(chance.choice(MINUTES) + offset, symbol, float(chance.randint(1, 9)), None, 1.0)
                    for symbol in ("AAPL", "MSFT")
                )
                minute = chance.choice(MINUTES)
                where = "time >= %s AND time < %s AND extract(microseconds FROM time)::integer %% 3 = %s"
                within = [minute, minute + timedelta(minutes=1), seed]
                if step % 3 == 0:
                    connection.execute(f"UPDATE stocks_real_time SET price = price + 1 WHERE {where}", within)
                elif step % 7 == 0:
                    connection.execute(f"DELETE FROM stocks_real_time WHERE {where}", within)

    def keep_fresh() -> None:
        with connect(dsn, "refresher") as connection:
            while writing.is_set():
                refresh(connection)

    def write_all() -> None:
        try:
            run_together(*(lambda seed=seed: write(seed) for seed in range(3)))  # type: ignore[misc]
        finally:
            writing.clear()

    run_together(write_all, keep_fresh, keep_fresh)
    assert len(market.ticks()) > 100
    market.assert_shown_exactly()
    refresh(market.connection)
    market.assert_stored_exactly()


def test_a_refresh_keeps_the_note_of_a_tick_it_did_not_see(dsn: str, market: Market) -> None:
    """A tick that is committed while a refresh of its minute runs is in the candle afterwards."""
    market.insert([tick("2022-10-19 12:00:00", 1.0)])
    with connect(dsn, autocommit=False) as late:
        Market(late).insert([tick("2022-10-19 12:00:01", 2.0)])
        refresh(market.connection)
        assert [candle.ticks for candle in market.shown("1d")] == [1]
    assert market.notes() == 1
    for level in LEVELS:
        assert [candle.ticks for candle in market.shown(level)] == [2]
    refresh(market.connection)
    market.assert_stored_exactly()


def test_an_aborted_refresh_leaves_the_notes(dsn: str, market: Market) -> None:
    """Whoever dies in the middle of a refresh leaves everything as it was."""
    market.insert([tick("2022-10-19 12:00:00", 1.0)])
    with connect(dsn, autocommit=False) as dying:
        dying.execute("SELECT * FROM candleworks.refresh_candles()")
        market.connection.execute("SELECT pg_terminate_backend(%s, 5000)", [dying.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            dying.commit()
    assert market.notes() == 1
    market.assert_shown_exactly()
    refresh(market.connection)
    market.assert_stored_exactly()


def test_a_refresh_ends_while_ticks_keep_coming(dsn: str, market: Market) -> None:
    """It does the work that was there when it began, and does not chase a stream for ever."""
    minute = datetime(2022, 10, 19, tzinfo=UTC)
    symbols = [f"S{number}" for number in range(200)]
    market.insert(Tick(minute, symbol, 1.0) for symbol in symbols)
    done = threading.Event()

    def stream() -> None:
        with connect(dsn, "stream") as connection:
            for step in itertools.count(1):
                Market(connection).insert(
                    Tick(minute + timedelta(microseconds=step), symbol, 1.0) for symbol in symbols
                )
                if done.is_set():
                    return

    def refresh_beside() -> None:
        try:
            refresh(market.connection)
        finally:
            done.set()

    run_together(stream, refresh_beside)
    market.assert_shown_exactly()


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_tick_is_in_every_candle_when_its_transaction_ends(dsn: str, market: Market, refreshed: bool) -> None:
    """The forming candle is visible at every level with the commit of its tick, to others too."""
    moment = datetime.now(UTC)
    market.insert([Tick(moment - timedelta(microseconds=1), "AAPL", 1.0)])
    if refreshed:
        refresh(market.connection)
    with connect(dsn) as reader:
        market.insert([Tick(moment, "AAPL", 2.0)])
        for level in LEVELS:
            (*_, newest) = Market(reader).shown(level)
            assert newest.close == 2.0
