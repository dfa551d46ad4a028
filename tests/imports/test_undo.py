"""An import is taken back exactly: the database is what it would be without it, on either engine."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.engine import Engine
from candleworks.imports import chunks
from candleworks.imports.importer import Reading, import_file, import_paths
from candleworks.imports.undo import UndoResult, undo_paths
from tests.imports.conftest import HEADER, Desk
from tests.storage.conftest import Trade, at

NOON = at("2022-10-19 12:00:00")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
BARS = "timestamp,open,high,low,close,volume\n"
QUOTES = "time,symbol,bid,ask,bid_volume,ask_volume\n"
on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")
KEPT = {
    "stocks_real_time": "symbol, time",
    "quotes": "symbol, time",
    "rejected_ticks": "id",
    "candleworks.vendor_bars": "symbol, minute",
    "candleworks.quote_bars": "symbol, start, width",
    **{f"{prefix}candles_{level}": "symbol, bucket" for prefix in ("", "quote_") for level in LEVELS},
}


def content(desk: Desk) -> dict[str, list[Any]]:
    """Everything that an import may change, besides what is known about imports."""
    refresh(desk.connection)
    return {
        table: desk.connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
        for table, order in KEPT.items()
    }


def undo(desk: Desk, *paths: str | Path, dry_run: bool = False) -> UndoResult:
    (report,) = undo_paths(desk.connection, desk.settings, paths, dry_run=dry_run)
    assert report.undone is not None, report.error
    return report.undone


def refusal(desk: Desk, path: str | Path) -> str:
    before = content(desk)
    (report,) = undo_paths(desk.connection, desk.settings, [path])
    assert report.error is not None
    assert content(desk) == before
    return str(report.error).replace(f"{desk.directory}/", "")


def status(desk: Desk, name: str) -> str:
    row = desk.connection.execute(
        "SELECT status FROM import_files WHERE path = %s", [str(desk.directory / name)]
    ).fetchone()
    assert row is not None
    return str(row[0])


def text_of(rows: list[Trade]) -> str:
    return HEADER + "".join(
        f"{event_time.isoformat(sep=' ')},{symbol},{price!r},{'' if total is None else total}\n"
        for event_time, symbol, price, total in rows
    )


def trades(seed: int, count: int = 40, days: int = 3) -> list[Trade]:
    """Trades of two symbols, many of one event time, in order of time."""
    drawn = random.Random(seed)
    event_times = sorted(NOON + timedelta(days=drawn.randrange(days), seconds=drawn.randrange(8)) for _ in range(count))
    return [
        Trade(event_time, drawn.choice(["AAPL", "BTC/USD"]), float(drawn.randint(1, 4)), drawn.choice([None, float(n)]))
        for n, event_time in enumerate(event_times)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_ticks_among_others(desk: Desk, seed: int) -> None:
    """Ordinals, volumes, first days and candles are what they were, whatever stood before, between and behind."""
    desk.book.merge(trades(seed))
    before = content(desk)
    path = desk.write(text_of(trades(seed + 100, days=5)) + "broken\n")
    imported = desk.take(path).record
    assert imported.stored > 0
    assert content(desk) != before
    trial = undo(desk, path, dry_run=True)
    assert status(desk, "trades.csv") == "imported"
    undone = undo(desk, path)
    assert (undone.ticks, undone.bars, undone.restored, undone.rejected) == (imported.stored, 0, 0, 1)
    assert (trial.ticks, trial.rejected) == (undone.ticks, undone.rejected)
    assert content(desk) == before
    assert status(desk, "trades.csv") == "undone"
    assert not list(audit(desk.connection, NOON - DAY, NOON + 7 * DAY).differences)
    assert desk.summary(desk.take(path)) == (41, imported.stored, imported.duplicates, 1)


def test_into_an_empty_database(desk: Desk) -> None:
    """With a symbol that nobody else has, and days before and after those of others."""
    before = content(desk)
    path = desk.write(text_of([Trade(NOON + n * DAY, "MSFT", 1.0, 5.0) for n in range(10)]))
    desk.take(path)
    assert undo(desk, path).candles["1m"] >= 0
    assert content(desk) == before


def test_what_came_later_moves_up(desk: Desk) -> None:
    """Ticks that were appended behind those of the file stand where they would without it."""
    rows = [Trade(NOON, "AAPL", float(n), 10.0 * n) for n in (1, 2, 3, 4)]
    desk.book.merge(rows[:1] + rows[3:])
    wanted = content(desk)
    desk.book.clear()
    desk.book.merge(rows[:1])
    path = desk.write(text_of(rows[1:3]))
    desk.take(path)
    desk.book.merge(rows[3:])
    assert undo(desk, path).ticks == 2
    assert content(desk) == wanted


def test_an_interrupted_import(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has stored so far goes, of all its runs; then it begins anew."""

    class StopError(Exception):
        pass

    def stop(progress: object) -> None:  # noqa: ARG001
        raise StopError

    monkeypatch.setattr(chunks, "BLOCK_BYTES", 400)
    before = content(desk)
    path = desk.write(text_of([Trade(NOON + n * SECOND, "AAPL", 1.0, float(n)) for n in range(60)]))
    for _ in range(2):
        with pytest.raises(StopError):
            list(import_paths(desk.connection, desk.settings, [path], progress=stop))
    stored = desk.ticks()
    assert 0 < stored < 60
    assert undo(desk, path).ticks == stored
    assert content(desk) == before
    result = desk.take(path)
    assert not result.resumed
    assert desk.summary(result) == (60, 60, 0, 0)


def test_the_same_file_imported_once_more(desk: Desk) -> None:
    """`--again` with another symbol adds ticks to the same import; both go."""
    path = desk.write("time,price\n2022-10-19 12:00:00+00,1.5\n", "plain.csv")
    before = content(desk)
    columns = {"time": "time", "price": "price"}
    for symbol in ("A", "B"):
        import_file(desk.connection, desk.settings, path, Reading(columns=columns, symbol=symbol), again=True)
    assert desk.ticks() == 2
    assert undo(desk, path).ticks == 2
    assert content(desk) == before


def test_bars_that_gave_way_return(desk: Desk) -> None:
    """Bars of another import and of filled gaps are there again, with their volumes, as long as nothing else is."""
    bars = desk.write(BARS + "".join(f"2022-10-19T12:0{n}:00Z,1,2,1,1.5,100\n" for n in range(5)), "bars.csv")
    import_file(desk.connection, desk.settings, bars, Reading(symbol="AAPL"))
    before = content(desk)
    path = desk.write(text_of([Trade(NOON + n * SECOND, "AAPL", 3.0, 7.0) for n in (5, 65, 130)]))
    import_file(desk.connection, desk.settings, path)
    assert content(desk)["candleworks.vendor_bars"] != before["candleworks.vendor_bars"]
    undone = undo(desk, path)
    assert (undone.ticks, undone.restored) == (3, 3)
    assert content(desk) == before


def test_longer_bars_that_gave_way_to_finer_ones_return(desk: Desk) -> None:
    hours = desk.write(BARS + "".join(f"2022-10-19T{n}:00:00Z,1,2,1,1.5,100\n" for n in range(10, 14)), "hours.csv")
    import_file(desk.connection, desk.settings, hours, Reading(symbol="BTC/USD"))
    before = content(desk)
    minutes = desk.write(BARS + "".join(f"2022-10-19T12:0{n}:00Z,1,2,1,1.5,5\n" for n in range(3)), "minutes.csv")
    import_file(desk.connection, desk.settings, minutes, Reading(symbol="BTC/USD"))
    undone = undo(desk, minutes)
    assert (undone.ticks, undone.bars, undone.restored) == (0, 3, 1)
    assert content(desk) == before
    assert undo(desk, hours).bars == 4
    assert desk.counts()[0] == 0


def test_bars_between_running_totals(desk: Desk) -> None:
    """Bars continue the totals around them; without them volumes are those of the ticks."""
    desk.book.merge([Trade(NOON + timedelta(minutes=n), "AAPL", 1.0, 100.0 * n) for n in (1, 2, 30, 31)])
    desk.book.merge([Trade(NOON - DAY, "AAPL", 1.0, 9.0)])
    before = content(desk)
    bars = desk.write(BARS + "".join(f"2022-10-19T12:1{n}:00Z,1,2,1,1.5,100\n" for n in range(5)), "bars.csv")
    import_file(desk.connection, desk.settings, bars, Reading(symbol="AAPL"))
    assert undo(desk, bars).bars == 5
    assert content(desk) == before


def test_bars_that_have_given_way_do_not_return(desk: Desk) -> None:
    """The import whose ticks replaced them is taken back after their own."""
    empty = content(desk)
    bars = desk.write(BARS + "".join(f"2022-10-19T12:0{n}:00Z,1,2,1,1.5,100\n" for n in range(2)), "bars.csv")
    import_file(desk.connection, desk.settings, bars, Reading(symbol="AAPL"))
    path = desk.write(text_of([Trade(NOON + n * SECOND, "AAPL", 3.0, 7.0) for n in (5, 65)]))
    import_file(desk.connection, desk.settings, path)
    assert undo(desk, bars).bars == 2
    undone = undo(desk, path)
    assert (undone.ticks, undone.restored) == (2, 0)
    assert content(desk) == empty


@pytest.mark.parametrize("first", ["BID", "ASK"])
def test_bars_of_bid_and_ask(desk: Desk, first: str) -> None:
    """One side goes and the other waits for it again; quotes replace whole bars, which then return."""
    states = [content(desk)]
    sides = {
        side: desk.write(
            BARS + "".join(f"2022-10-19T12:0{n}:00Z,{base},{base + 1},{base},{base},5\n" for n in range(2)),
            f"eurusd-m1-{side.lower()}-2022.csv",
        )
        for side, base in (("BID", 1.0), ("ASK", 1.5))
    }
    order = [sides[first], *(path for side, path in sides.items() if side != first)]
    order.append(desk.write(f"{QUOTES}2022-10-19 12:00:05+00,EUR/USD,1.1,1.2,,\n", "quotes.csv"))
    for path in order:
        import_file(desk.connection, desk.settings, path, Reading(symbol="EUR/USD"))
        states.append(content(desk))
    assert len({repr(state) for state in states}) == 4
    for path, state in zip(reversed(order), reversed(states[:-1]), strict=True):
        undo(desk, path)
        assert content(desk) == state


def test_later_files_that_met_its_ticks_are_read_again(desk: Desk) -> None:
    """They left out what was stored already."""
    first = desk.write(text_of([Trade(NOON + n * SECOND, "AAPL", 1.0, 7.0) for n in range(3)]), "first.csv")
    second = desk.write(text_of([Trade(NOON + n * SECOND, "AAPL", 1.0, 7.0) for n in range(1, 5)]), "second.csv")
    assert desk.summary(desk.take(first)) == (3, 3, 0, 0)
    assert desk.summary(desk.take(second)) == (4, 2, 2, 0)
    assert undo(desk, first).reopened == (str(second),)
    assert desk.summary(desk.take(second)) == (4, 2, 2, 0)
    assert desk.ticks() == 4
    assert undo(desk, second).ticks == 4
    assert desk.ticks() == 0


def test_by_name_when_the_file_is_gone(desk: Desk) -> None:
    path = desk.write(text_of([Trade(NOON, "AAPL", 1.0)]))
    desk.take(path)
    path.unlink()
    assert undo(desk, path).ticks == 1


@on_postgres
def test_what_cannot_be_taken_back(desk: Desk) -> None:
    """Nothing is changed, and the reason is told."""
    path = desk.write(text_of([Trade(NOON, "AAPL", 1.0)]))
    assert refusal(desk, path) == "trades.csv was not imported into this database: there is nothing to undo."
    desk.take(path)
    undo(desk, path)
    assert refusal(desk, path) == "trades.csv was undone already: there is nothing left of its import."
    assert "nowhere.csv" in refusal(desk, desk.directory / "nowhere.csv")
    companies = desk.write("symbol,name\nAAPL,Apple\n", "company.csv")
    import_file(desk.connection, desk.settings, companies)
    assert refusal(desk, companies).startswith(
        "company.csv cannot be undone exactly, so nothing was changed: an import"
    )
    exported = desk.write(
        "time,symbol,price,day_volume,volume,bid,ask,received_at,origin\n"
        "2022-10-19 12:00:00+00,X,1,,,,,2022-10-19 12:00:01+00,live\n",
        "exported.csv",
    )
    import_file(desk.connection, desk.settings, exported)
    assert "none of its 1 tick has the received_at" in refusal(desk, exported)
    desk.connection.execute("DELETE FROM candleworks.import_runs")
    assert "retention has dropped ticks of its time" in refusal(desk, exported)


def test_after_retention_it_is_refused(desk: Desk) -> None:
    """Candles stay when their ticks are dropped; they could not follow."""
    path = desk.write(text_of([Trade(NOON + n * 40 * DAY, "AAPL", 1.0) for n in range(2)]))
    desk.take(path)
    desk.connection.execute(
        "INSERT INTO candleworks.retention_horizons (relation, dropped_before) VALUES ('stocks_real_time', %s)",
        [NOON + DAY],
    )
    assert "retention has dropped ticks of stocks_real_time before 2022-10-20" in refusal(desk, path)


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_out_of_compressed_chunks(desk: Desk) -> None:
    desk.book.merge([Trade(NOON + n * SECOND, "AAPL", 1.0, float(n)) for n in range(0, 40, 7)])
    before = content(desk)
    path = desk.write(text_of([Trade(NOON + n * SECOND, "AAPL", 2.0, float(n)) for n in range(40)]))
    desk.take(path)
    desk.connection.execute("SELECT compress_chunk(c) FROM show_chunks('stocks_real_time') c")
    assert undo(desk, path).ticks == 40
    assert content(desk) == before


def test_an_undo_that_fails_leaves_everything(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.write(text_of([Trade(NOON, "AAPL", 1.0)]))
    desk.take(path)
    before = content(desk)

    def fail(*_: object) -> int:
        raise RuntimeError

    monkeypatch.setattr("candleworks.imports.undo.forget_import", fail)
    with pytest.raises(RuntimeError):
        list(undo_paths(desk.connection, desk.settings, [path]))
    assert content(desk) == before
    assert status(desk, "trades.csv") == "imported"


history = st.lists(
    st.builds(
        Trade,
        st.integers(0, 5).map(lambda n: NOON + timedelta(seconds=n % 3, days=n // 3)),
        st.sampled_from(["AAPL", "BTC/USD"]),
        st.sampled_from([1.0, 2.0]),
        st.none() | st.integers(0, 5).map(float),
    ),
    min_size=1,
    max_size=20,
)


@on_postgres
@examples(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=history, imported=history, after=history)
def test_any_import_among_any_ticks(desk: Desk, before: list[Trade], imported: list[Trade], after: list[Trade]) -> None:
    """What came before is as it was; later ticks that the import did not have are as they would be without it."""
    desk.book.clear()
    desk.connection.execute("DELETE FROM import_files")
    fresh = [row._replace(price=3.0) for row in after]
    desk.book.merge(before)
    desk.book.merge(fresh)
    wanted = content(desk)
    desk.book.clear()
    desk.book.merge(before)
    path = desk.write(text_of(imported))
    import_file(desk.connection, desk.settings, path)
    desk.book.merge(fresh)
    undo(desk, path)
    assert content(desk) == wanted
