"""The log of changes: complete, in the order of the commits, and no burden to those who write ticks."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks import clock
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine, engine_of
from candleworks.storage.stream_log import LogRow, StreamSource
from tests.stream.conftest import insert_by_hand

DAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def log(connection: Connection, after: int = 0) -> list[LogRow]:
    return [LogRow(*row) for row in connection.execute("SELECT * FROM candleworks.stream_since(%s, 1000)", [after])]


def newest(connection: Connection) -> int:
    row = connection.execute("SELECT newest FROM candleworks.stream_bounds()").fetchone()
    assert row
    return int(row[0])


def test_an_insert_is_logged_with_its_symbols_and_bounds(connection: Connection) -> None:
    """Whatever stored it: by statement, or by row on hypertables."""
    before = newest(connection)
    insert_by_hand(connection, [(DAY, "A", 1.0, 1.0), (DAY + SECOND, "A", 2.0, 1.0), (DAY, "B", 3.0, None)])
    rows = log(connection, before)
    places = {place for row in rows for place in zip(row.symbols, row.firsts, row.lasts, row.counts or (), strict=True)}
    if engine_of(connection) is Engine.POSTGRES:
        assert places == {("A", DAY, DAY + SECOND, 2), ("B", DAY, DAY, 1)}
    else:
        assert places == {("A", DAY, DAY, 1), ("A", DAY + SECOND, DAY + SECOND, 1), ("B", DAY, DAY, 1)}
    assert {(row.changed, row.removed) for row in rows} == {("trade", False)}


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_many_ticks_in_a_hypertable_are_hours(connection: Connection) -> None:
    """After the first 50 of a transaction: nobody reads 2,000 rows of the log."""
    before = newest(connection)
    insert_by_hand(connection, [(DAY + n * SECOND, "AB"[n % 2], 1.0, 1.0) for n in range(2_000)])
    rows = log(connection, before)
    assert [row.counts for row in rows] == [[1]] * 50 + [None] * 4
    assert sorted((row.symbols, row.firsts) for row in rows[50:]) == [
        ([symbol], [DAY.replace(hour=hour, minute=0)]) for symbol in "AB" for hour in (9, 10)
    ]
    insert_by_hand(connection, [(DAY - SECOND, "A", 1.0, 1.0)])
    assert log(connection, rows[-1].position)[0].counts == [1]


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_candles_of_a_hypertable_follow_a_copy_into_the_past(connection: Connection) -> None:
    """TimescaleDB's COPY invalidates no continuous aggregate where a trigger of inserts has a transition table."""
    insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
    connection.execute("CALL refresh_continuous_aggregate('candles_1m', NULL, %s)", [DAY + timedelta(hours=1)])
    with connection.cursor().copy("COPY stocks_real_time (time, symbol, price) FROM STDIN") as copy:
        copy.write_row([DAY + SECOND, "A", 9.0])
    connection.execute("CALL refresh_continuous_aggregate('candles_1m', NULL, %s)", [DAY + timedelta(hours=1)])
    assert connection.execute("SELECT high FROM candles_1m").fetchall() == [(9.0,)]


def test_who_logs_inserts_silences_the_triggers_until_then(connection: Connection) -> None:
    """Neither longer, nor in another transaction than its own."""
    before = newest(connection)
    with connection.transaction():
        connection.execute("SELECT candleworks.begin_inserts()")
        insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
        connection.execute("SELECT candleworks.log_inserts('trade', '{A}', %s, %s)", [[DAY], [DAY]])
        insert_by_hand(connection, [(DAY, "B", 1.0, 1.0)])
    connection.execute("SELECT candleworks.begin_inserts()")
    insert_by_hand(connection, [(DAY, "C", 1.0, 1.0)])
    connection.execute("SELECT candleworks.log_inserts('trade', '{C}', %s, %s)", [[DAY], [DAY]])
    assert [(row.symbols, row.counts) for row in log(connection, before)] == [(["A"], None), (["B"], [1]), (["C"], [1])]


@pytest.mark.parametrize(
    ("statement", "bounds", "removed"),
    [
        ("UPDATE stocks_real_time SET price = price + 1", (DAY, DAY + SECOND), False),
        (
            "DELETE FROM stocks_real_time",
            (DAY.replace(minute=0), DAY.replace(minute=59, second=59, microsecond=999_999)),
            True,
        ),
    ],
)
def test_other_changes_are_ranges(
    connection: Connection, statement: str, bounds: tuple[datetime, datetime], removed: bool
) -> None:
    """Of what was updated, and of the hours in which something was deleted; what changed nothing is not logged."""
    insert_by_hand(connection, [(DAY, "A", 1.0, 1.0), (DAY + SECOND, "A", 2.0, 1.0)])
    before = newest(connection)
    connection.execute(f"{statement} WHERE price > 100")
    assert log(connection, before) == []
    connection.execute(statement)
    (row,) = log(connection, before)
    assert (row.symbols, row.firsts, row.lasts) == (["A"], [bounds[0]], [bounds[1]])
    assert (row.counts, row.removed) == (None, removed)


def test_quotes_daily_bars_and_gaps_are_logged(connection: Connection) -> None:
    """All that candles follow from, and what decides which are closed."""
    before = newest(connection)
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [DAY, DAY])
    connection.execute("INSERT INTO quotes (time, symbol, bid, ask) VALUES (%s, 'Q', 1, 2)", [DAY])
    connection.execute("INSERT INTO daily_bars VALUES ('D', '2020-01-06 00:00+00', 1, 2, 1, 2, NULL, 'test', now())")
    connection.execute(
        "INSERT INTO feed_gaps (feed, started_at, ended_at, reason) VALUES ('test', %s, %s, 'lost')",
        [DAY, DAY + SECOND],
    )
    connection.execute("INSERT INTO gap_fills SELECT id, 'A', 'empty', 0, 'none', 1, NULL, now() FROM feed_gaps")
    rows = log(connection, before)
    assert [(row.changed, row.symbols) for row in rows] == [
        ("quote", ["Q"]),
        ("trade", ["D"]),
        ("gap", [""]),
        ("gap", ["A"]),
    ]


def test_positions_are_in_the_order_of_the_commits(dsn: str, connection: Connection) -> None:
    """Whoever began first: what has been seen up to a position is complete."""
    insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
    before = newest(connection)
    with connect(dsn, autocommit=False) as early, connect(dsn, autocommit=False) as late:
        insert_by_hand(early, [(DAY + SECOND, "A", 1.0, 1.0)])
        insert_by_hand(late, [(DAY + 2 * SECOND, "B", 1.0, 1.0)])
        late.commit()
        (first,) = log(connection, before)
        early.commit()
    (second,) = log(connection, first.position)
    assert (first.symbols, second.symbols) == (["B"], ["A"])


def test_what_was_rolled_back_is_not_logged(connection: Connection) -> None:
    """Neither a transaction nor a savepoint; what follows a savepoint is."""
    before = newest(connection)
    for _ in range(2):
        with connection.transaction():
            with connection.transaction(force_rollback=True):
                insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
            insert_by_hand(connection, [(DAY, "B", 1.0, 1.0)])
            with connection.transaction(force_rollback=True):
                insert_by_hand(connection, [(DAY, "C", 1.0, 1.0)])
        connection.execute("DELETE FROM stocks_real_time")
    rows = log(connection, before)
    assert [row.symbols for row in rows] == [["B"]] * 4
    assert [row.removed for row in rows] == [False, True] * 2
    assert all(row.position for row in rows)


def test_a_transaction_of_many_statements_is_one_range_per_symbol(connection: Connection) -> None:
    """So that nobody waits while thousands of rows are numbered."""
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [DAY, DAY + timedelta(hours=1)])
    before = newest(connection)
    with connection.transaction():
        for number in range(150):
            connection.execute(
                "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, %s, 1)",
                [DAY + number * SECOND, "AB"[number % 2]],
            )
    if engine_of(connection) is Engine.TIMESCALE:
        assert len(log(connection, before)) == 52  # 50 ticks, and an hour of each symbol
        return
    (row,) = log(connection, before)
    assert sorted(zip(row.symbols, row.firsts, row.lasts, strict=True)) == [
        ("A", DAY, DAY + 148 * SECOND),
        ("B", DAY + SECOND, DAY + 149 * SECOND),
    ]


def test_constraints_that_are_checked_at_once_do_not_mute_what_follows(connection: Connection) -> None:
    """SET CONSTRAINTS publishes early; later statements of the transaction are published too."""
    before = newest(connection)
    with connection.transaction():
        insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        insert_by_hand(connection, [(DAY, "B", 1.0, 1.0)])
    assert [row.symbols for row in log(connection, before)] == [["A"], ["B"]]


def test_old_rows_are_trimmed(connection: Connection) -> None:
    """By whoever appends; the newest always stay, because they say where the log begins."""
    insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
    connection.execute("UPDATE candleworks.stream_log SET committed_at = committed_at - interval '11 minutes'")
    for number in range(70):
        insert_by_hand(connection, [(DAY + number * SECOND, "B", 1.0, 1.0)])
    rows = log(connection)
    assert {symbol for row in rows for symbol in row.symbols} == {"B"}


def test_serializable_transactions_are_not_disturbed_by_trimming(dsn: str, connection: Connection) -> None:
    """They would fail if another one had dropped the same rows."""
    with connect(dsn, autocommit=False) as serializable:
        serializable.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        serializable.execute("SELECT count(*) FROM candleworks.stream_log")
        connection.execute("UPDATE candleworks.stream_log SET committed_at = committed_at - interval '11 minutes'")
        for number in range(130):
            insert_by_hand(connection, [(DAY + number * SECOND, "B", 1.0, 1.0)])
        insert_by_hand(serializable, [(DAY, "A", 1.0, 1.0)])
        serializable.commit()
    assert log(connection)[-1].symbols == ["A"]


def test_a_commit_wakes_who_listens(dsn: str, connection: Connection) -> None:
    """Long before the safety net would."""
    source = StreamSource(dsn)
    source.open()
    try:
        insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
        began = clock.monotonic()
        source.wait(60, connection.fileno())
        assert clock.monotonic() - began < 30
        assert source.since(0, 100)[-1].symbols == ["A"]
    finally:
        source.close()


def test_those_who_may_only_read_or_only_write_need_no_right_to_the_log(dsn: str, connection: Connection) -> None:
    """The functions and triggers act for the owner."""
    role = "stream_" + dsn.rsplit("test_", 1)[1].split(maxsplit=1)[0].replace("'", "")
    connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        connection.execute(
            f"GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT, INSERT ON stocks_real_time TO {role}"
        )
        insert_by_hand(connection, [(DAY, "A", 1.0, 1.0)])
        before = newest(connection)
        connection.execute(f"SET ROLE {role}")
        connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'B', 1)", [DAY])
        assert [row.symbols for row in log(connection, before)] == [["B"]]
        with pytest.raises(Exception, match="permission denied for table stream_log"):
            connection.execute("SELECT FROM candleworks.stream_log")
    finally:
        connection.execute("RESET ROLE")
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")
