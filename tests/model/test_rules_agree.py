"""The rules of volumes, valid ticks and bars are the same wherever they are applied: live, to files, and in SQL."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks import clock
from candleworks.database.adoption import tick_limits
from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.feed.sequencer import Sequencer
from candleworks.imports.importer import import_file
from candleworks.imports.validation import bar_faults
from candleworks.model.bars import follows_ohlc_order
from candleworks.model.trades import MICROSECONDS, microseconds_of, volume_increase
from candleworks.model.trading_day import trading_day
from candleworks.settings import Ingest, Settings
from candleworks.storage.trades import Day, TradeStore
from candleworks.vendor.protocol import PriceEvent

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = datetime(2022, 10, 17, tzinfo=UTC)
Walk = list[tuple[datetime, float | None]]
in_database = examples(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

walks = st.lists(
    st.tuples(st.integers(0, 4 * 86_400), st.none() | st.sampled_from([0.0, 1.0, 2.0, 5.0, 7.5, 40.0])),
    min_size=1,
    max_size=12,
    unique_by=lambda step: step[0],
).map(lambda steps: [(MONDAY + timedelta(seconds=offset), total) for offset, total in sorted(steps)])


def by_rule(walk: Walk) -> list[float | None]:
    """The volume of each running total: its increase over the highest one of its trading day so far."""
    highest: dict[datetime, float | None] = {}
    volumes = []
    for time, total in walk:
        day = trading_day(time, NEW_YORK)[0]
        before = highest.setdefault(day, 0.0 if highest else None)
        volumes.append(None if total is None else volume_increase(total, before))
        if total is not None:
            highest[day] = total if before is None else max(before, total)
    return volumes


def stored_volumes(connection: Connection) -> list[float | None]:
    rows = connection.execute("SELECT volume FROM stocks_real_time ORDER BY time").fetchall()
    return [volume for (volume,) in rows]


def live(walk: Walk) -> list[float | None]:
    sequencer = Sequencer(Ingest())
    sequencer.add_symbols({"AAPL": NEW_YORK}, {})
    events = [PriceEvent("price", "AAPL", int(time.timestamp()), 1.0, total, None, None) for time, total in walk]
    arrivals = [event.timestamp * MICROSECONDS for event in events]
    return sequencer.sequence(events, arrivals, [b""] * len(events)).trades.volume


def imported(connection: Connection, settings: Settings, walk: Walk, path: Path) -> list[float | None]:
    lines = [f"{time.isoformat()},AAPL,1,{'' if total is None else total}\n" for time, total in walk]
    path.write_text("time,symbol,price,day_volume\n" + "".join(lines))
    import_file(connection, settings, path, again=True)
    return stored_volumes(connection)


def recomputed(connection: Connection, walk: Walk) -> list[float | None]:
    """Of the stored trades, after their volumes were lost."""
    connection.execute("UPDATE stocks_real_time SET volume = NULL")
    days = sorted({trading_day(time, NEW_YORK) for time, _ in walk})
    store = TradeStore(connection, "test", lambda _: NEW_YORK)
    store.recompute_volumes([Day("AAPL", start, end, start, end, float("inf")) for start, end in days])
    return stored_volumes(connection)


def stage(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    connection.execute(query("create_stage"))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO staged_adoption (position, time, symbol, price, day_volume) VALUES (%s, %s, %s, %s, %s)",
            [(f"(0,{place + 1})", *row) for place, row in enumerate(rows)],
        )


def adopted(connection: Connection, walk: Walk) -> list[float | None]:
    with connection.transaction(force_rollback=True):
        stage(connection, [(time, "AAPL", 1.0, total) for time, total in walk])
        connection.execute(query("prepare_staged"))
        connection.execute(query("note_symbols"), {"symbols": ["AAPL"], "zones": [str(NEW_YORK)]})
        connection.execute(query("place_staged"), {"start": "-infinity"})
        return stored_volumes(connection)


@in_database
@given(walk=walks)
def test_volumes_are_the_same_on_every_path(
    walk: Walk, connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    """The live path, an import, the recomputation in the database, and the adoption of an old table."""
    connection.execute("DELETE FROM stocks_real_time")
    expected = by_rule(walk)
    assert adopted(connection, walk) == expected
    assert live(walk) == expected
    assert imported(connection, settings, walk, tmp_path / "walk.csv") == expected
    assert recomputed(connection, walk) == expected


# No symbol begins or ends with a space: cells of a file are stripped, values of a table are not.
SYMBOLS = ("AAPL", "BTC/USD", "^SPX", "A" * 32, "A" * 33, "", "A B", ".A", "A'B")
NUMBERS = (-1.0, -0.0, 0.0, 1e-101, 1e-100, 1.5, 1e100, 1e101, float("inf"), float("-inf"), float("nan"))
rows = st.tuples(
    st.sampled_from(["1989-12-31", "1990-01-01", "2022-10-17", "2999-01-01"]),
    st.sampled_from(SYMBOLS),
    st.sampled_from(NUMBERS),
    st.none() | st.sampled_from(NUMBERS),
)
Row = tuple[str, str, float, float | None]


def file_reasons(connection: Connection, settings: Settings, given_rows: Sequence[Row], path: Path) -> list[str]:
    lines = [
        f"{day}T00:00:00Z,{symbol},{price!r},{'' if total is None else repr(total)}\n"
        for day, symbol, price, total in given_rows
    ]
    path.write_text("time,symbol,price,day_volume\n" + "".join(lines))
    import_file(connection, settings, path, again=True)
    found = connection.execute("SELECT reason FROM rejected_ticks").fetchall()
    return sorted(without_values(reason.partition(": ")[2]) for (reason,) in found)


def adoption_reasons(connection: Connection, settings: Settings, given_rows: Sequence[Row]) -> list[str]:
    with connection.transaction(force_rollback=True):
        stage(connection, [(f"{day} 00:00:00+00", *rest) for day, *rest in given_rows])
        connection.execute(query("reject_staged"), tick_limits(settings))
        found = connection.execute("SELECT reason FROM rejected_ticks").fetchall()
    return sorted(without_values(reason) for (reason,) in found)


def without_values(reason: str) -> str:
    """A sentence without its quoted value, which the two write with different digits and escapes."""
    return re.sub(r" E?'.*'", "", reason)


@in_database
@given(given_rows=st.lists(rows, min_size=1, max_size=8), accept_zero=st.booleans())
def test_rows_are_rejected_for_the_same_reason_from_a_file_and_by_sql(
    given_rows: list[Row], accept_zero: bool, connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    """The adoption of an old table applies the limits of an import in SQL."""
    connection.execute("TRUNCATE rejected_ticks")
    connection.execute("DELETE FROM stocks_real_time")
    ingest = settings.ingest.model_copy(update={"accept_zero_prices": accept_zero})
    chosen = settings.model_copy(update={"ingest": ingest})
    by_sql = adoption_reasons(connection, chosen, given_rows)
    assert file_reasons(connection, chosen, given_rows, tmp_path / "rows.csv") == by_sql


@given(
    price=st.sampled_from([n for n in NUMBERS if abs(n) < float("inf")]), total=st.none() | st.sampled_from(NUMBERS[:8])
)
def test_a_live_tick_is_rejected_when_a_row_of_a_file_is(price: float, total: float | None) -> None:
    """The live path compares with bounds first, and asks for the reason only beyond them."""
    sequencer = Sequencer(Ingest())
    sequencer.add_symbols({"AAPL": NEW_YORK}, {})
    now_us = clock.now_us()
    event = PriceEvent("price", "AAPL", now_us // MICROSECONDS, price, total, None, None)
    rejected = [r.reason.partition(" ")[0] for r in sequencer.sequence([event], [now_us], [b""]).rejections]
    valid_price, valid_total = 1e-100 <= price <= 1e100, not total or 1e-100 <= total <= 1e100
    assert rejected == ([] if valid_price and valid_total else ["price"] if not valid_price else ["day_volume"])


@given(prices=st.tuples(*[st.sampled_from([1.0, 2.0, 3.0])] * 4))
def test_bars_of_files_follow_the_ohlc_rule(prices: tuple[float, float, float, float]) -> None:
    """As the vendor's bars do: low <= open, close <= high."""
    names = ("open", "high", "low", "close")
    frame = pl.DataFrame({f"{name} value": [price] for name, price in zip(names, prices, strict=True)})
    faults = bar_faults(names, None, microseconds_of(MONDAY))
    wrong = frame.select(pl.any_horizontal(fault.applies for fault in faults)).item()
    first, high, low, last = prices
    assert follows_ohlc_order(*prices) == (low <= min(first, last) and max(first, last) <= high) == (not wrong)
