"""Refused ticks, tried again on the way that they first came."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate
from candleworks.errors import UsageError
from candleworks.imports.importer import import_file
from candleworks.model.trades import Rejection, RejectionKind, Trades, microseconds_of
from candleworks.rejected.lines import LineForm
from candleworks.rejected.retry import retry
from candleworks.settings import Feed, Settings, load_settings
from candleworks.storage.rejected import RejectedSelection, list_rejected, quarantine
from candleworks.storage.trades import TradeStore
from tests.storage.conftest import NEW_YORK, LiveTrades

NOON = datetime(2022, 10, 19, 16, tzinfo=UTC)
RECEIVED = NOON + timedelta(milliseconds=250)
on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def frame(**fields: object) -> str:
    """A price frame as the vendor sends it."""
    told = {"event": "price", "symbol": "AAPL", "timestamp": int(NOON.timestamp()), "price": 143.2, "day_volume": 700}
    return json.dumps(told | fields, separators=(",", ":"))


def refuse(
    connection: Connection,
    *payloads: str,
    feed: str = "twelvedata",
    reason: str = "refused",
    kind: RejectionKind = "frame",
) -> None:
    us = microseconds_of(RECEIVED)
    quarantine(connection, feed, [Rejection(us, reason, payload, kind) for payload in payloads])


class Quarantine:
    """The quarantine of one database."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings

    def retry(
        self, *assignments: tuple[str, str], payload: str | None = None, form: LineForm | None = None
    ) -> list[tuple[str, str | None] | None]:
        """Replay everything that is refused, oldest first."""
        ticks = list_rejected(self.connection, RejectedSelection(everything=True), None)[::-1]
        done = retry(self.connection, self.settings, ticks, dict(assignments), payload, form or LineForm())
        return [None if each.result is None else (each.result.outcome, each.result.reason) for each in done]

    def trades(self) -> list[tuple[object, ...]]:
        return self.connection.execute(
            "SELECT time, symbol, price, day_volume, volume FROM stocks_real_time ORDER BY symbol, time"
        ).fetchall()

    def record(self) -> list[tuple[object, ...]]:
        return self.connection.execute(
            "SELECT outcome, resolved_at IS NOT NULL, corrected, replay_reason FROM rejected_ticks ORDER BY id"
        ).fetchall()


@pytest.fixture
def quarantined(connection: Connection, settings: Settings) -> Quarantine:
    return Quarantine(connection, settings)


def store(connection: Connection, prices: Sequence[float]) -> None:
    """Trades of AAPL that came live before, all within the same second."""
    us = microseconds_of(NOON)
    count = len(prices)
    none: list[float | None] = [None] * count
    trades = Trades(
        [us] * count,
        list(range(count)),
        ["AAPL"] * count,
        list(prices),
        none[:],
        none[:],
        none[:],
        none[:],
        [us] * count,
    )
    LiveTrades(TradeStore(connection, "test", lambda _: NEW_YORK)).write(trades)


def import_trades(quarantined: Quarantine, rows: Sequence[tuple[datetime, float]]) -> int:
    """Store ticks of AAPL from a file; return how many were stored."""
    path = quarantined.settings.home.parent / "history.csv"
    path.write_text("time,symbol,price\n" + "".join(f"{time.isoformat()},AAPL,{price}\n" for time, price in rows))
    return import_file(quarantined.connection, quarantined.settings, path).record.stored


STORED = ("stored", None)


def test_a_tick_that_is_acceptable_now_is_stored(quarantined: Quarantine, connection: Connection) -> None:
    """Its symbol was added to the feed: it stands behind what is stored of its second, with the time of its arrival."""
    store(connection, [141.0, 142.0])
    refuse(connection, frame(), reason="symbol 'AAPL' is not subscribed")
    assert quarantined.retry() == [STORED]
    assert [row[2] for row in quarantined.trades()] == [141.0, 142.0, 143.2]
    assert quarantined.trades()[2][0] == NOON + timedelta(microseconds=2)
    origin = connection.execute("SELECT received_at, origin FROM stocks_real_time WHERE price = 143.2").fetchone()
    assert origin == (RECEIVED, "twelvedata")
    assert quarantined.record() == [("stored", True, None, None)]


def test_replaying_twice_stores_nothing_twice(quarantined: Quarantine, connection: Connection) -> None:
    """Neither what is noted as stored, nor what is stored and was not noted."""
    refuse(connection, frame(), frame(price=144.0))
    assert quarantined.retry() == [STORED, STORED]
    assert quarantined.retry() == [None, None]
    connection.execute("UPDATE rejected_ticks SET outcome = NULL, resolved_at = NULL")
    assert quarantined.retry() == [("duplicate", None)] * 2
    assert len(quarantined.trades()) == 2
    assert quarantined.record() == [("duplicate", True, None, None)] * 2


@on_one_engine
def test_each_of_many_is_judged_by_itself(quarantined: Quarantine, connection: Connection) -> None:
    """What is stored already, or still wrong, does not keep the others out."""
    refuse(connection, frame(price=1))
    assert quarantined.retry() == [STORED]
    prices = [2, 1, -1, 3]
    refuse(connection, *(frame(price=price) for price in prices))
    connection.execute("DELETE FROM rejected_ticks WHERE id = 1")
    assert quarantined.retry() == [STORED, ("duplicate", None), ("rejected", "price -1.0 is negative"), STORED]
    assert [row[2] for row in quarantined.trades()] == [1.0, 2.0, 3.0]


@on_one_engine
def test_two_equal_ticks_are_two_trades(quarantined: Quarantine, connection: Connection) -> None:
    """Two deliveries of equal frames are told from one that is replayed twice."""
    refuse(connection, frame(), frame())
    assert quarantined.retry() == [STORED, STORED]
    assert [row[0] for row in quarantined.trades()] == [NOON, NOON + timedelta(microseconds=1)]


def test_a_tick_is_corrected(quarantined: Quarantine, connection: Connection) -> None:
    """What was replayed is kept beside what came; volumes around it are right."""
    refuse(connection, frame(price=-143.2), reason="price -143.2 is negative")
    refuse(connection, frame(price=-143.3, timestamp=int(NOON.timestamp()) + 1, day_volume=750))
    assert quarantined.retry(("price", "143.2"), ("bid", "null")) == [STORED, STORED]
    assert [row[2:] for row in quarantined.trades()] == [(143.2, 700.0, None), (143.2, 750.0, 50.0)]
    assert quarantined.record()[0] == ("stored", True, frame(bid=None), None)


@on_one_engine
@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (frame(symbol="MSFX"), "symbol 'MSFX' is not subscribed"),
        (frame(price=-1), "price -1.0 is negative"),
        (frame(price=0), "price 0.0 is zero"),
        (frame(bid=0), "quote: bid 0.0 is zero"),
        (frame(bid=2, ask=1), "quote: ask 1.0 is below bid 2.0"),
        (frame(price=None), "price is null, not a finite number"),
        (frame(timestamp=4_000_000_000), "event time 4000000000 is "),
        ("not JSON", "not JSON: "),
        ("", "empty frame"),
    ],
)
def test_what_is_still_wrong_is_refused_again(
    quarantined: Quarantine, connection: Connection, payload: str, refusal: str
) -> None:
    """By the rules of the feed; the record says why, and it can be tried again."""
    refuse(connection, payload)
    for _ in range(2):
        ((outcome, reason),) = [each for each in quarantined.retry() if each]
        assert outcome == "rejected"
        assert reason is not None
        assert reason.startswith(refusal)
    assert quarantined.record() == [("rejected", False, None, reason)]
    assert quarantined.retry(payload=frame()) == [STORED]
    assert quarantined.record() == [("stored", True, frame(), None)]


def test_what_is_far_from_the_stored_prices_is_refused_again(quarantined: Quarantine, connection: Connection) -> None:
    """Near the tick before it or after it will do, so that the first ticks after a split come in; 1e29 stays out."""
    noon = int(NOON.timestamp())
    assert import_trades(quarantined, [(NOON, 300.0), (NOON + timedelta(seconds=9), 15.0)]) == 2
    far = [
        frame(timestamp=noon + 1, price=15.1),
        frame(timestamp=noon + 2, price=1e29),
        frame(timestamp=noon, price=15.2),
    ]
    refuse(connection, *far, reason="price 15.1 is less than 1/10 of the last known price 300.0")
    assert quarantined.retry() == [
        STORED,
        STORED,
        ("rejected", "price 1e+29 is more than 10 times the last known price 15.1"),
    ]


@on_one_engine
def test_the_age_of_a_replayed_tick_counts_from_its_first_arrival(
    quarantined: Quarantine, connection: Connection
) -> None:
    """However long it waited to be replayed."""
    refuse(connection, frame(), frame(timestamp=int(NOON.timestamp()) - 40 * 86_400))
    event_time = int(NOON.timestamp()) - 40 * 86_400
    assert quarantined.retry() == [STORED, ("rejected", f"event time {event_time} is 40 days older than its arrival")]


def test_what_the_database_refused_is_replayed(quarantined: Quarantine, connection: Connection) -> None:
    """It was kept as its values; a database that still refuses it is the reason that is noted."""
    connection.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT no_tens CHECK (price <> 10)")
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [NOON, NOON])
    trades = Trades(
        [microseconds_of(NOON)], [0], ["AAPL"], [10.0], [5.0], [None], [9.5], [None], [microseconds_of(NOON)]
    )
    live = LiveTrades(TradeStore(connection, "twelvedata", lambda _: NEW_YORK), "twelvedata")
    assert live.write(trades).rejected == 1
    ((outcome, reason),) = [each for each in quarantined.retry() if each]
    assert outcome == "rejected"
    assert reason is not None
    assert reason.startswith("the database refused it: ")
    connection.execute("ALTER TABLE stocks_real_time DROP CONSTRAINT no_tens")
    assert quarantined.retry() == [STORED]
    row = connection.execute("SELECT time, price, day_volume, bid, ask FROM stocks_real_time").fetchone()
    assert row == (NOON, 10.0, 5.0, 9.5, None)


@on_one_engine
def test_a_feed_that_is_gone_is_named(quarantined: Quarantine, connection: Connection) -> None:
    """Its rules are not known."""
    refuse(connection, frame(), feed="elsewhere")
    assert quarantined.retry() == [("rejected", "no feed named 'elsewhere' is configured")]
    elsewhere = (Feed(name="elsewhere", symbols=("AAPL",)),)
    again = Quarantine(connection, quarantined.settings.model_copy(update={"feeds": elsewhere}))
    assert again.retry() == [STORED]


def test_a_rejected_quote_is_stored_beside_its_trade(quarantined: Quarantine, connection: Connection) -> None:
    """The trade was stored when the tick came, and is not stored again."""
    store(connection, [143.2])
    connection.execute("UPDATE stocks_real_time SET day_volume = 700")
    refuse(connection, frame(bid=144, ask=143), reason="quote: ask 143.0 is below bid 144.0")
    assert quarantined.retry() == [("rejected", "quote: ask 143.0 is below bid 144.0")]
    assert quarantined.retry(("bid", "143")) == [STORED]
    assert len(quarantined.trades()) == 1
    quotes = connection.execute("SELECT time, symbol, bid, ask, received_at, origin FROM quotes").fetchall()
    assert quotes == [(NOON, "AAPL", 143.0, 143.0, RECEIVED, "twelvedata")]
    connection.execute("UPDATE rejected_ticks SET outcome = NULL, resolved_at = NULL")
    assert quarantined.retry(("bid", "143")) == [("duplicate", None)]


HEADER = "symbol,price,time,day_volume"


@on_one_engine
def test_zero_prices_are_replayed_once_they_are_accepted(
    quarantined: Quarantine, connection: Connection, tmp_path: Path
) -> None:
    """Frames and lines follow the setting that live ticks and files follow."""
    refuse(connection, frame(price=0), frame(bid=0, ask=0), reason="price 0.0 is zero")
    path = tmp_path / "ticks.csv"
    path.write_text(f"{HEADER}\nAAPL,140,2022-10-19 16:00:01+00,710\nAAPL,0,2022-10-19 16:00:02+00,720\n")
    assert import_file(connection, quarantined.settings, path).record.rejected == 1
    assert [each and each[0] for each in quarantined.retry()] == ["rejected"] * 3
    ingest = quarantined.settings.ingest.model_copy(update={"accept_zero_prices": True})
    quarantined.settings = quarantined.settings.model_copy(update={"ingest": ingest})
    assert quarantined.retry() == [STORED] * 3
    assert sorted(row[2] for row in quarantined.trades()) == [0.0, 0.0, 140.0, 143.2]


def test_refused_lines_of_a_file_are_corrected(quarantined: Quarantine, connection: Connection, tmp_path: Path) -> None:
    """By the names of the columns in its header."""
    path = tmp_path / "ticks.csv"
    path.write_text(f"{HEADER}\nAAPL,143.5,2022-10-19 15:59:59+00,10\nAAPL,-1,2022-10-19 16:00:00+00,20\n")
    assert import_file(connection, quarantined.settings, path).record.rejected == 1
    assert quarantined.retry() == [("rejected", "price '-1' is negative")]
    assert quarantined.retry(("price", "144")) == [STORED]
    assert [row[0] for row in quarantined.trades()] == [NOON - timedelta(seconds=1), NOON]
    assert quarantined.trades()[1][2:] == (144.0, 20.0, 10.0)
    assert quarantined.record() == [("stored", True, "AAPL,144,2022-10-19 16:00:00+00,20", None)]
    assert quarantined.retry() == [None]


@on_one_engine
def test_lines_of_a_file_that_is_gone_are_corrected(quarantined: Quarantine, connection: Connection) -> None:
    """By the columns that are told, or by the usual ones where none are."""
    refuse(connection, "AAPL,-1,2022-10-19 16:00:00+00,20", feed="/gone/a.csv", kind="line")
    assert quarantined.retry(("price", "144"), form=LineForm(header=HEADER)) == [STORED]
    refuse(connection, "2022-10-19 16:00:01+00,AAPL,-1,25", feed="/gone/b.csv", kind="line")
    assert quarantined.retry(("price", "145")) == [None, STORED]
    assert [row[2:] for row in quarantined.trades()] == [(144.0, 20.0, None), (145.0, 25.0, 5.0)]


@on_one_engine
def test_refused_quotes_of_a_file_are_corrected(
    quarantined: Quarantine, connection: Connection, tmp_path: Path
) -> None:
    """They go to the quotes."""
    path = tmp_path / "quotes.csv"
    path.write_text("time,symbol,bid,ask\n2022-10-19 16:00:00.123+00,EUR/USD,none,1.1\n")
    import_file(connection, quarantined.settings, path)
    assert quarantined.retry(("bid", "1.09")) == [STORED]
    assert connection.execute("SELECT time, symbol, bid, ask FROM quotes").fetchall() == [
        (NOON + timedelta(milliseconds=123), "EUR/USD", 1.09, 1.1)
    ]


@on_one_engine
def test_rows_of_an_adopted_table_are_corrected(quarantined: Quarantine, connection: Connection) -> None:
    """They were kept as JSON."""
    payload = '{"time":"2022-10-19T16:00:00+00:00","symbol":"AAPL","price":null,"day_volume":7}'
    refuse(connection, payload, feed="public.stocks_real_time_before_candleworks", kind="row")
    assert quarantined.retry(("price", "3")) == [STORED]
    assert quarantined.trades() == [(NOON, "AAPL", 3.0, 7.0, None)]


@on_one_engine
def test_a_field_that_lines_do_not_have_is_refused(quarantined: Quarantine, connection: Connection) -> None:
    """Those that they have are named; so is the way to tell the columns."""
    refuse(connection, "2022-10-19 16:00:00+00,AAPL,x,", feed="/gone/ticks.csv", kind="line")
    with pytest.raises(UsageError) as caught:
        quarantined.retry(("bid", "1"))
    assert (
        str(caught.value) == "The lines of /gone/ticks.csv have no 'bid': set one of time, symbol, price, day_volume."
    )
    refuse(connection, "a;b", feed="/gone/odd.csv", kind="line")
    with pytest.raises(
        UsageError, match="name their columns with --header, such as --header time,symbol,price,day_vol"
    ):
        quarantined.retry()


TABLE = {
    "time": [NOON, NOON + timedelta(seconds=1), NOON + timedelta(seconds=2, microseconds=3)],
    "symbol": ["AAPL", "AAPL", None],
    "price": [143.0, float("nan"), 145.0],
    "bid": [None, 143.9, 144.9],
}


def write_table(path: Path, columns: Mapping[str, object]) -> None:
    frame = pl.DataFrame(columns).with_columns(pl.col("time").dt.replace_time_zone(None).dt.replace_time_zone("UTC"))
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_ipc(path)


@on_one_engine
@pytest.mark.parametrize("name", ["ticks.parquet", "ticks.arrow"])
def test_refused_rows_of_a_table_are_corrected(quarantined: Quarantine, connection: Connection, name: str) -> None:
    """By the names of its columns; the file may be gone."""
    path = quarantined.settings.home.parent / name
    write_table(path, TABLE)
    assert import_file(connection, quarantined.settings, path).record.rejected == 2
    path.unlink()
    found = connection.execute("SELECT kind, number, reason FROM rejected_ticks ORDER BY id").fetchall()
    assert found == [("row", 2, "row 2: price is not a number"), ("row", 3, "row 3: invalid symbol")]
    assert quarantined.retry() == [("rejected", "price is not a number"), ("rejected", "invalid symbol")]
    assert quarantined.retry(("price", "144.5"), ("symbol", "MSFT")) == [STORED, STORED]
    assert quarantined.retry() == [None, None]
    assert connection.execute("SELECT time, symbol, price, bid FROM stocks_real_time ORDER BY time").fetchall() == [
        (NOON, "AAPL", 143.0, None),
        (NOON + timedelta(seconds=1), "MSFT", 144.5, 143.9),
        (NOON + timedelta(seconds=2), "MSFT", 144.5, 144.9),
    ]


def test_a_refused_row_of_our_own_table_keeps_its_columns(quarantined: Quarantine, connection: Connection) -> None:
    """Microseconds, size, arrival and origin of an exported row are stored as they were."""
    path = quarantined.settings.home.parent / "own.parquet"
    time = NOON + timedelta(microseconds=7)
    own = TABLE | {
        "time": [NOON, time, time],
        "symbol": ["AAPL"] * 3,
        "ask": [None, 144.1, None],
        "price": [143.0, -1.0, 145.0],
    }
    own |= {
        "day_volume": [1.0, None, None],
        "volume": [None, 4.0, 3.0],
        "received_at": [RECEIVED] * 3,
        "origin": ["a, b"] * 3,
    }
    write_table(path, own)
    assert import_file(connection, quarantined.settings, path).record.rejected == 1
    assert quarantined.retry(("price", "144")) == [STORED]
    assert connection.execute("SELECT * FROM stocks_real_time WHERE price = 144").fetchall() == [
        (time + timedelta(microseconds=1), "AAPL", 144.0, None, 4.0, 143.9, 144.1, RECEIVED, "a, b")
    ]


@on_one_engine
def test_refused_rows_of_quotes_go_to_the_quotes(quarantined: Quarantine, connection: Connection) -> None:
    """An ask below its bid is corrected."""
    path = quarantined.settings.home.parent / "quotes.parquet"
    write_table(path, {"time": [NOON], "symbol": ["EUR/USD"], "bid": [1.1], "ask": [1.0]})
    import_file(connection, quarantined.settings, path)
    assert quarantined.retry(("ask", "1.2")) == [STORED]
    assert connection.execute("SELECT time, symbol, bid, ask FROM quotes").fetchall() == [(NOON, "EUR/USD", 1.1, 1.2)]


@on_one_engine
@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("time", "yesterday", "time 'yesterday' is not an ISO time with an offset from UTC"),
        ("time", "2022-10-19 16:00:00", "time '2022-10-19 16:00:00' is not an ISO time with an offset from UTC"),
        ("time", "9223372036854775807", "time is in the future"),
        ("time", "9223372036854775808", "time '9223372036854775808' is not an ISO time with an offset from UTC"),
        ("time", "null", "time is null"),
        ("price", "dear", "price 'dear' is not a number"),
        ("price", "null", "price is not a number"),
        ("symbol", "a b", "invalid symbol"),
    ],
)
def test_a_row_that_is_still_wrong_is_refused_again(
    quarantined: Quarantine, connection: Connection, field: str, text: str, message: str
) -> None:
    """With the reason of what is wrong now."""
    row = {"time": microseconds_of(NOON), "symbol": "AAPL", "price": -1.0, "day_volume": None}
    refuse(connection, json.dumps(row | {"price": 1.0}), feed="/gone/a.parquet", kind="row")
    assert quarantined.retry((field, text)) == [("rejected", message)]
    assert quarantined.trades() == []


@on_one_engine
def test_a_field_that_rows_do_not_have_is_refused(quarantined: Quarantine, connection: Connection) -> None:
    """Those that they have are named; another text is no row."""
    refuse(connection, '{"time": 1666195200000000, "symbol": "AAPL", "price": null}', feed="/a.arrow", kind="row")
    with pytest.raises(UsageError) as caught:
        quarantined.retry(("bid", "1"))
    assert str(caught.value) == "The rows of /a.arrow have no 'bid': set one of time, symbol, price."
    for payload in (
        "2022-10-19 16:00:00+00,AAPL,3",
        "[1]",
        '{"time": 1, "price": 2}',
        '{"time": 1, "symbol": "A", "price": 1, "x": 1}',
    ):
        with pytest.raises(UsageError, match=r"The payload is not a row of /a\.arrow: write a JSON object such as"):
            quarantined.retry(payload=payload)


@on_one_engine
@pytest.mark.parametrize(
    ("kind", "payload", "content"),
    [("bar", "2022-10-19 16:00:00,1,2,0.5,1,9", "bars"), ("company", "A,B,C", "companies")],
)
def test_a_line_that_is_no_tick_is_not_read_as_one(
    quarantined: Quarantine, connection: Connection, kind: RejectionKind, payload: str, content: str
) -> None:
    """A bar of a file that is gone has as many fields as a quote."""
    refuse(connection, payload, feed="/gone/file.csv", kind=kind)
    with pytest.raises(UsageError, match=f"/gone/file.csv contains {content}: correct the file and import it again"):
        quarantined.retry()


@on_one_engine
def test_the_words_of_a_reason_mean_nothing_to_a_retry(quarantined: Quarantine, connection: Connection) -> None:
    """A frame is a frame whatever its reason begins with, and a line is a line."""
    refuse(connection, frame(), reason="line 7: a frame that only sounds like a line")
    refuse(connection, "2022-10-19 16:00:01+00,AAPL,145,", feed="/gone/b.csv", reason="quote: no", kind="line")
    assert quarantined.retry() == [STORED, STORED]


def test_older_rows_are_classified_once(dsn: str, connection: Connection) -> None:
    """A database from before the columns: what each row is follows from its reason, the last time."""
    connection.execute("ALTER TABLE rejected_ticks DROP COLUMN kind, DROP COLUMN number")
    connection.execute("DELETE FROM candleworks_migrations WHERE name = 'common/0050_rejected_kinds'")
    refused = "symbol=AAPL event_time=2022-10-19T16:00:00+00:00 price=1.0 day_volume=None bid=None ask=None"
    rows = {
        ("twelvedata", "price -1.0 is negative", frame(price=-1)): ("frame", None),
        ("twelvedata", "quote: ask 1.0 is below bid 2.0", frame(bid=2, ask=1)): ("quote", None),
        ("twelvedata", "the database refused it: no", refused): ("trade", None),
        ("/a.csv", "line 12: price 'x' is not a number", "a,b"): ("line", 12),
        ("/a.parquet", "row 3: price is not a number", "{}"): ("row", 3),
        ("public.stocks_real_time_before_candleworks", "price is null", "{}"): ("row", None),
    }
    for row in rows:
        connection.execute(
            "INSERT INTO rejected_ticks (received_at, feed, reason, payload) VALUES (now(), %s, %s, %s)", row
        )
    assert migrate(dsn, load_settings({})) == ["common/0050_rejected_kinds"]
    found = connection.execute("SELECT feed, reason, payload, kind, number FROM rejected_ticks ORDER BY id").fetchall()
    assert [row[3:] for row in found] == list(rows.values())
