"""A database that already has the tutorial's tables: every row is kept, or the error says exactly what to run."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database import adoption
from candleworks.database.adoption import AdoptionRefusedError
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate
from candleworks.errors import TerminalError, TransientError
from candleworks.imports.importer import import_file
from candleworks.settings import load_settings
from tests.conftest import clone

from .conftest import ZONES, Total, at, volumes_of

DATA = Path(__file__).parents[3] / "shared" / "data"
SAMPLE = DATA / "stocks_real_time_2022-10-19.csv"
COMPANIES = DATA / "company.csv"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason=f"{SAMPLE} is not there (the tutorial's sample data)")
on_timescale = pytest.mark.parametrize("engine", ["timescale"], indirect=True)
on_postgres = pytest.mark.parametrize("engine", ["postgres"], indirect=True)

KEPT = "stocks_real_time_before_candleworks"
Row = tuple[datetime | str, str, float | None, int | None]


class Tutorial:
    """A database that somebody set up by the tutorial, on TimescaleDB with its hypertable."""

    def __init__(self, dsn: str, engine: Engine) -> None:
        self.dsn = dsn
        self.engine = engine
        self.connection = connect(dsn, "tutorial")
        if engine is Engine.TIMESCALE:
            self.run("CREATE EXTENSION IF NOT EXISTS timescaledb")

    def run(self, statement: str, parameters: Sequence[object] | None = None) -> Any:
        return self.connection.execute(statement, parameters)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.run(statement).fetchall()
        return found

    def create(self, *, hypertable: bool | None = None, chunk: str = "7 days") -> None:
        """Create the tutorial's tables as it does."""
        self.run(
            "CREATE TABLE stocks_real_time (time TIMESTAMPTZ NOT NULL, symbol TEXT NOT NULL,"
            " price DOUBLE PRECISION NULL, day_volume INT NULL)"
        )
        if self.engine is Engine.TIMESCALE and hypertable is not False:
            self.run(f"SELECT create_hypertable('stocks_real_time', by_range('time', interval '{chunk}'))")
        self.run("CREATE INDEX ix_symbol_time ON stocks_real_time (symbol, time DESC)")
        self.run("CREATE TABLE company (symbol TEXT NOT NULL, name TEXT NOT NULL)")

    def load(self, table: str, file: Path) -> None:
        with self.connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(file.read_bytes())

    def insert(self, rows: Sequence[Row]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany("INSERT INTO stocks_real_time VALUES (%s, %s, %s, %s)", rows)

    def compress(self, before: str = "infinity") -> None:
        """Compress every chunk that begins before the moment, as the tutorial's columnstore policy does."""
        self.run("ALTER TABLE stocks_real_time SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol')")
        self.run(
            "SELECT compress_chunk(format('%%I.%%I', chunk_schema, chunk_name)::regclass)"
            " FROM timescaledb_information.chunks WHERE hypertable_name = 'stocks_real_time' AND range_start < %s",
            [before],
        )

    def migrate(self) -> list[str]:
        """Migrate, and return what was told."""
        told: list[str] = []
        assert migrate(self.dsn, load_settings({}), told.append)
        return told

    def trades(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT time, symbol, price, day_volume, volume FROM stocks_real_time ORDER BY symbol, time")


@pytest.fixture
def tutorial(engine: Engine, server_dsn: str) -> Iterator[Tutorial]:
    with clone(server_dsn) as dsn:
        tutorial = Tutorial(dsn, engine)
        yield tutorial
        tutorial.connection.close()


@needs_sample
def test_adopted_sample_is_what_an_import_of_it_would_be(tutorial: Tutorial, connection: Connection) -> None:
    """All 49,999 real ticks get the times, volumes and candles that importing the same file gives them."""
    tutorial.create()
    tutorial.load("stocks_real_time", SAMPLE)
    tutorial.load("company", COMPANIES)
    assert tutorial.migrate() == [
        "stocks_real_time: the old table is kept as stocks_real_time_before_candleworks until you drop it.",
        "stocks_real_time: 49,999 rows were adopted, 0 were rejected and are in rejected_ticks.",
        "company: the old table is kept as company_before_candleworks until you drop it.",
        "company: 100 rows were adopted, 0 were skipped, which are empty or followed by another row of the symbol.",
    ]
    import_file(connection, load_settings({}), SAMPLE)
    imported = "SELECT time, symbol, price, day_volume, volume FROM stocks_real_time ORDER BY symbol, time"
    assert tutorial.trades() == connection.execute(imported).fetchall()
    refresh(tutorial.connection)
    for level in ("1m", "1h", "1d"):
        candles = (
            "SELECT bucket, symbol, open, high, low, close, volume, round(vwap::numeric, 9), day_volume, ticks, rebuilt"
            f" FROM candles_{level} ORDER BY symbol, bucket"
        )
        assert tutorial.rows(candles) == connection.execute(candles).fetchall()
    assert tutorial.rows(f"SELECT count(*) FROM {KEPT}") == [(49_999,)]
    assert tutorial.rows("SELECT count(*) FROM company") == [(100,)]


@needs_sample
def test_import_of_adopted_rows_adds_nothing(tutorial: Tutorial) -> None:
    """Adopted ticks are known ones: the file that they came from is all duplicates, on an ordinary table too."""
    tutorial.create(hypertable=False)
    tutorial.load("stocks_real_time", SAMPLE)
    tutorial.migrate()
    record = import_file(tutorial.connection, load_settings({}), SAMPLE).record
    assert (record.stored, record.duplicates) == (0, 49_999)


@needs_sample
@on_timescale
def test_compressed_chunks_are_adopted(tutorial: Tutorial) -> None:
    """Compressed rows are all kept; their order within a second follows day_volume, because theirs is lost."""
    tutorial.create(chunk="1 hour")
    tutorial.load("stocks_real_time", SAMPLE)
    tutorial.compress(before="2022-10-19 20:00+00")
    tutorial.run("INSERT INTO stocks_real_time VALUES ('2022-10-19 19:30:00+00', 'AAPL', 1, 1)")
    old = Counter(tutorial.rows("SELECT time, symbol, price, day_volume::float8 FROM stocks_real_time"))
    assert tutorial.migrate()[1:3] == [
        "stocks_real_time: 50,000 rows were adopted, 0 were rejected and are in rejected_ticks.",
        (
            "stocks_real_time: 1 of 5 parts of the old table are compressed, which loses the order of ticks within a"
            " second; it was restored by day_volume where that differs."
        ),
    ]
    found = Counter(tutorial.rows("SELECT date_trunc('second', time), symbol, price, day_volume FROM stocks_real_time"))
    assert found == old
    assert tutorial.rows(
        "SELECT count(*) FROM (SELECT day_volume < lag(day_volume) OVER w AND date_trunc('second', time) ="
        " date_trunc('second', lag(time) OVER w) AS falls FROM stocks_real_time"
        " WHERE time < '2022-10-19 20:00+00' AND day_volume IS NOT NULL WINDOW w AS (PARTITION BY symbol ORDER BY time)"
        ") t WHERE falls"
    ) == [(0,)]


def test_second_migrate_does_nothing(tutorial: Tutorial) -> None:
    """Once adopted, there is nothing to do and nothing to tell."""
    tutorial.create()
    tutorial.insert([("2022-10-19 15:00+00", "AAPL", 1, 1)])
    tutorial.migrate()
    before = tutorial.trades()
    told: list[str] = []
    assert migrate(tutorial.dsn, load_settings({}), told.append) == []
    assert told == []
    assert tutorial.trades() == before


def test_interrupted_migrate_leaves_the_old_table_untouched(tutorial: Tutorial) -> None:
    """When the server drops the connection during the copy, everything is as before and the next run adopts all."""
    tutorial.create()
    tutorial.insert([("2022-10-19 15:00+00", "AAPL", price, price) for price in range(1, 6)])
    before = tutorial.rows("SELECT * FROM stocks_real_time")

    def interrupt(_: str) -> None:
        tutorial.run(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = 'candleworks migrate' AND datname = current_database()"
        )

    with pytest.raises(TransientError):
        migrate(tutorial.dsn, load_settings({}), interrupt)
    assert tutorial.rows("SELECT * FROM stocks_real_time") == before
    assert tutorial.rows("SELECT to_regnamespace('candleworks'), to_regclass('candleworks_migrations')") == [
        (None, None)
    ]
    tutorial.migrate()
    assert [row[2] for row in tutorial.trades()] == [1, 2, 3, 4, 5]


def test_many_migrations_at_once_adopt_once(tutorial: Tutorial) -> None:
    """Of processes that start together one adopts, the others find it done."""
    tutorial.create()
    tutorial.insert([("2022-10-19 15:00+00", "AAPL", 1, 1)] * 3)
    with ThreadPoolExecutor(5) as pool:
        applied = list(pool.map(lambda _: len(migrate(tutorial.dsn, load_settings({}))), range(5)))
    assert sorted(applied)[:4] == [0, 0, 0, 0]
    assert len(tutorial.trades()) == 3


def test_equal_times_move_on_in_arrival_order(tutorial: Tutorial) -> None:
    """Ticks of one event time get microseconds in the order of storage; a later one they meet moves on."""
    tutorial.create()
    tutorial.insert(
        [
            ("2022-10-19 15:00:01+00", "AAPL", 5, None),
            ("2022-10-19 15:00:00+00", "AAPL", 3, 300),
            ("2022-10-19 15:00:00+00", "AAPL", 1, 100),
            ("2022-10-19 15:00:00+00", "AAPL", 2, None),
            ("2022-10-19 15:00:00+00", "MSFT", 9, None),
            ("2022-10-19 15:00:00.000001+00", "AAPL", 4, None),
        ]
    )
    tutorial.migrate()
    start = at("2022-10-19 15:00:00")
    assert [(row[0] - start, row[2]) for row in tutorial.trades() if row[1] == "AAPL"] == [
        (timedelta(microseconds=0), 3),
        (timedelta(microseconds=1), 1),
        (timedelta(microseconds=2), 2),
        (timedelta(microseconds=3), 4),
        (timedelta(seconds=1), 5),
    ]


def test_ties_across_the_parts_of_the_copy_stay_in_order(tutorial: Tutorial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of the last microsecond of a part that spill over into the next one push its first tick on."""
    monkeypatch.setattr(adoption, "RANGE_ROWS", 1)
    tutorial.create(chunk="7 days")
    monday = at("2022-10-17 00:00:00")
    before = monday - timedelta(microseconds=1)
    tutorial.insert([(before, "AAPL", 1, None), (before, "AAPL", 2, None), (monday, "AAPL", 3, None)])
    tutorial.migrate()
    assert [(row[0] - monday, row[2]) for row in tutorial.trades()] == [
        (timedelta(microseconds=-1), 1),
        (timedelta(microseconds=0), 2),
        (timedelta(microseconds=1), 3),
    ]


def test_volumes_follow_the_running_total_of_each_trading_day(
    tutorial: Tutorial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random ticks of four weeks, copied in many parts that cut through trading days, get the volumes of the rule."""
    monkeypatch.setattr(adoption, "RANGE_ROWS", 40)
    tutorial.create(chunk="7 hours")
    rng = random.Random(3)
    rows: list[Row] = [
        (
            at("2022-10-20 00:00:00") + timedelta(seconds=rng.randrange(0, 28 * 86_400, 300)),
            rng.choice(["AAPL", "BTC/USD"]),
            rng.randrange(1, 100),
            rng.choice([None, rng.randrange(1000)]),
        )
        for _ in range(1500)
    ]
    tutorial.insert(rows)
    tutorial.migrate()
    arrival = sorted(rows, key=lambda row: (row[1], row[0]))
    found = tutorial.trades()
    assert [row[1:4] for row in found] == [row[1:] for row in arrival]
    expected = []
    for symbol in ("AAPL", "BTC/USD"):
        ticks = [Total(row[0], row[3], "adopted") for row in arrival if row[1] == symbol]  # type: ignore[arg-type] # all of these times are moments
        expected += volumes_of(ticks, ZONES[symbol], set())
    assert [row[4] for row in found] == expected
    assert len({row[:2] for row in found}) == 1500


def test_rows_that_are_no_ticks_are_kept_apart(tutorial: Tutorial) -> None:
    """What an import would refuse goes to rejected_ticks with the reason and the row, and is counted."""
    tutorial.create(hypertable=False)
    tomorrow = clock.now() + timedelta(days=1)
    tutorial.insert(
        [
            ("2022-10-19 15:00+00", "AAPL", None, 7),
            ("2022-10-19 15:00+00", "AAPL", -1, None),
            ("2022-10-19 15:00+00", "AAPL", float("nan"), None),
            ("2022-10-19 15:00+00", "AAPL", float("inf"), None),
            ("2022-10-19 15:00+00", "AAPL", 1, -1),
            ("2022-10-19 15:00+00", "AA PL", 1, None),
            ("1989-12-31 15:00+00", "AAPL", 1, None),
            ("-infinity", "AAPL", 1, None),
            (tomorrow, "AAPL", 1, None),
            ("infinity", "AAPL", 1, None),
            ("2022-10-19 15:00+00", "AAPL", 0, None),
            ("2022-10-19 15:00+00", "AAPL", 1e200, None),
            ("2022-10-19 15:00+00", "AAPL", 1, 0),
        ]
    )
    assert "stocks_real_time: 1 rows were adopted, 12 were rejected and are in rejected_ticks." in tutorial.migrate()
    assert [row[:4] for row in tutorial.trades()] == [(at("2022-10-19 15:00:00"), "AAPL", 1, 0)]
    assert Counter(row[0] for row in tutorial.rows("SELECT reason FROM rejected_ticks")) == {
        "price is null": 1,
        "price '-1' is negative": 1,
        "price '0' is zero": 1,
        "price '1e+200' is out of range": 1,
        "price 'NaN' is not a number": 1,
        "price 'Infinity' is not a number": 1,
        "day_volume '-1' is negative": 1,
        "invalid symbol 'AA PL'": 1,
        "time '1989-12-31 15:00:00+00' is before 1990": 1,
        "time '-infinity' is before 1990": 1,
        f"time '{tomorrow:%Y-%m-%d %H:%M:%S.%f}".rstrip("0") + "+00' is in the future": 1,
        "time 'infinity' is in the future": 1,
    }
    assert tutorial.rows("SELECT feed, payload FROM rejected_ticks WHERE reason = 'price is null'") == [
        (
            "public.stocks_real_time_before_candleworks",
            '{"time":"2022-10-19T15:00:00+00:00","symbol":"AAPL","price":null,"day_volume":7}',
        )
    ]


def test_table_without_rows_is_adopted(tutorial: Tutorial) -> None:
    """Somebody who only ran the tutorial's first statements can go on with us."""
    tutorial.create()
    tutorial.migrate()
    assert tutorial.trades() == []
    assert tutorial.rows(f"SELECT count(*) FROM {KEPT}") == [(0,)]


def test_column_types_may_differ(tutorial: Tutorial) -> None:
    """Any text and any number will do, in any order of the columns."""
    tutorial.run(
        "CREATE TABLE stocks_real_time"
        " (symbol varchar(10), price numeric(10, 4), time timestamptz NOT NULL, day_volume bigint)"
    )
    tutorial.run("INSERT INTO stocks_real_time VALUES ('AAPL', 143.0350, '2022-10-19 15:00+00', 5000000000)")
    tutorial.migrate()
    assert tutorial.trades() == [(at("2022-10-19 15:00:00"), "AAPL", 143.035, 5e9, None)]


def test_last_row_of_a_company_counts(tutorial: Tutorial) -> None:
    """Repeated symbols are no obstacle; further columns of ours are taken over where the old table has them."""
    tutorial.run("CREATE TABLE company (symbol text, name text, exchange text)")
    tutorial.run(
        "INSERT INTO company VALUES ('FB', 'Facebook', 'NASDAQ'), ('AAPL', 'Apple', NULL),"
        " ('FB', 'Meta', 'NASDAQ'), ('X', NULL, NULL)"
    )
    assert tutorial.migrate() == [
        "company: the old table is kept as company_before_candleworks until you drop it.",
        "company: 2 rows were adopted, 2 were skipped, which are empty or followed by another row of the symbol.",
    ]
    assert tutorial.rows("SELECT * FROM company ORDER BY symbol") == [
        ("AAPL", "Apple", None, None, None),
        ("FB", "Meta", "NASDAQ", None, None),
    ]


def test_rights_on_the_old_table_hold_for_the_new_one(tutorial: Tutorial) -> None:
    """Who could read or write the old table by name still can."""
    tutorial.create()
    tutorial.run("DROP ROLE IF EXISTS adoption_reader")
    tutorial.run("CREATE ROLE adoption_reader")
    try:
        tutorial.run("GRANT SELECT, INSERT ON stocks_real_time TO adoption_reader")
        tutorial.run("GRANT SELECT ON company TO PUBLIC")
        tutorial.migrate()
        assert tutorial.rows(
            "SELECT has_table_privilege('adoption_reader', 'stocks_real_time', 'SELECT, INSERT'),"
            " has_table_privilege('adoption_reader', 'stocks_real_time', 'DELETE'),"
            " has_table_privilege('adoption_reader', 'company', 'SELECT')"
        ) == [(True, False, True)]
    finally:
        tutorial.run("DROP OWNED BY adoption_reader")
        tutorial.run("DROP ROLE adoption_reader")


def refused(tutorial: Tutorial) -> AdoptionRefusedError:
    """Migrate and return the refusal; nothing was changed by it."""
    with pytest.raises(AdoptionRefusedError) as refusal:
        migrate(tutorial.dsn, load_settings({}))
    assert tutorial.rows("SELECT to_regnamespace('candleworks'), to_regclass('candleworks_migrations')") == [
        (None, None)
    ]
    return refusal.value


def obey(tutorial: Tutorial, refusal: AdoptionRefusedError) -> list[str]:
    """Run exactly what the message says, and migrate again."""
    text = str(refusal)
    tutorial.run(text[text.index(": run ") + len(": run ") : text.index(" and migrate again")])
    return tutorial.migrate()


@needs_sample
@on_timescale
def test_continuous_aggregates_of_the_tutorial_are_renamed_first(tutorial: Tutorial) -> None:
    """The refusal names each aggregate and view that reads the old rows; renamed, they keep theirs, and ours begin."""
    tutorial.create()
    tutorial.load("stocks_real_time", SAMPLE)
    for name, width in (("one_day_candle", "1 day"), ("one_min_candle", "1 minute")):
        tutorial.run(
            f"CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous) AS"
            f" SELECT time_bucket('{width}', time) AS bucket, symbol, FIRST(price, time) AS "
            '"open", MAX(price) AS high, MIN(price) AS low, LAST(price, time) AS "close",'
            " LAST(day_volume, time) AS day_volume FROM stocks_real_time GROUP BY bucket, symbol WITH NO DATA"
        )
        tutorial.run("CALL refresh_continuous_aggregate(%s, NULL, NULL)", [name])
        tutorial.run(
            "SELECT add_continuous_aggregate_policy(%s, start_offset => INTERVAL '3 days',"
            " end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 day')",
            [name],
        )
    tutorial.run(
        "CREATE MATERIALIZED VIEW weekly WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS"
        " SELECT time_bucket('7 days', bucket) AS week, symbol, max(high) AS high FROM one_day_candle GROUP BY 1, 2"
        " WITH NO DATA"
    )
    tutorial.run('CREATE VIEW "Weekly highs" AS SELECT * FROM weekly')
    refusal = refused(tutorial)
    assert refusal.statements == [
        "ALTER MATERIALIZED VIEW public.one_day_candle RENAME TO one_day_candle_before_candleworks;",
        "ALTER MATERIALIZED VIEW public.one_min_candle RENAME TO one_min_candle_before_candleworks;",
        'ALTER VIEW public."Weekly highs" RENAME TO "Weekly highs_before_candleworks";',
        "ALTER MATERIALIZED VIEW public.weekly RENAME TO weekly_before_candleworks;",
    ]
    # Not open and close: the tutorial's first() and last() pick any of the ticks that share the second.
    daily = "SELECT bucket, symbol, high, low FROM one_day_candle{} ORDER BY symbol"
    before = tutorial.rows(daily.format(""))
    assert len(before) > 50
    adopted = "stocks_real_time: 49,999 rows were adopted, 0 were rejected and are in rejected_ticks."
    assert adopted in obey(tutorial, refusal)
    refresh(tutorial.connection)
    assert tutorial.rows(daily.format("_before_candleworks")) == before == tutorial.rows(daily.format(""))
    tutorial.run('DROP VIEW "Weekly highs_before_candleworks"')
    tutorial.run("DROP MATERIALIZED VIEW weekly_before_candleworks")
    tutorial.run("DROP MATERIALIZED VIEW one_day_candle_before_candleworks")
    tutorial.run("DROP MATERIALIZED VIEW one_min_candle_before_candleworks")
    tutorial.run(f"DROP TABLE {KEPT}")
    assert len(tutorial.trades()) == 49_999


def test_views_and_foreign_keys_are_named(tutorial: Tutorial) -> None:
    """What would silently stay with the old tables is refused in one sentence, with the statements in it."""
    tutorial.create(hypertable=False)
    tutorial.insert([("2022-10-19 15:00+00", "AAPL", 1, 1)])
    tutorial.run("CREATE SCHEMA reports")
    tutorial.run("CREATE VIEW reports.apple AS SELECT * FROM stocks_real_time WHERE symbol = 'AAPL'")
    tutorial.run("CREATE MATERIALIZED VIEW reports.names AS SELECT name FROM company JOIN reports.apple USING (symbol)")
    tutorial.run("ALTER TABLE company ADD PRIMARY KEY (symbol)")
    tutorial.run("CREATE TABLE holdings (symbol text REFERENCES company)")
    refusal = refused(tutorial)
    assert str(refusal) == (
        "The tables of the database cannot be adopted"
        " (reports.apple reads the old table and would not see new rows,"
        " reports.names reads the old table and would not see new rows, holdings has a foreign key on company):"
        " run ALTER VIEW reports.apple RENAME TO apple_before_candleworks;"
        " ALTER MATERIALIZED VIEW reports.names RENAME TO names_before_candleworks;"
        " ALTER TABLE holdings DROP CONSTRAINT holdings_symbol_fkey;"
        " and migrate again; no row is lost."
    )
    obey(tutorial, refusal)
    assert len(tutorial.trades()) == 1


def test_table_with_other_columns_is_named(tutorial: Tutorial) -> None:
    """A table that is not the tutorial's is not guessed at: it is set aside by hand and ours begins empty."""
    tutorial.run("CREATE TABLE stocks_real_time (time timestamp NOT NULL, symbol text, price float8, size int)")
    tutorial.run("CREATE TABLE company (id int, symbol text, name text)")
    refusal = refused(tutorial)
    assert str(refusal) == (
        "The tables of the database cannot be adopted (company has the columns id number and symbol text and name text"
        " instead of symbol text and name text and exchange text and currency text and type text,"
        " stocks_real_time has the columns time timestamp without time zone and symbol text and price number and size"
        " number instead of time time and symbol text and price number and day_volume number):"
        " run ALTER TABLE public.company RENAME TO company_before_candleworks;"
        " ALTER TABLE public.stocks_real_time RENAME TO stocks_real_time_before_candleworks;"
        " and migrate again; no row is lost."
    )
    assert obey(tutorial, refusal) == []
    assert tutorial.trades() == []


def test_everything_with_one_of_our_names_is_in_the_way(tutorial: Tutorial, connection: Connection) -> None:
    """Each public relation that the migrations create is looked for beforehand."""
    ours = {
        row[0]
        for row in connection.execute(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
        )
    } - {"candleworks_migrations"}
    assert {"quotes", "candles_1m", "quote_candles_1d", "feed_gaps", "stocks_real_time", "company"} <= ours
    for number, name in enumerate(sorted(ours)):
        tutorial.run(
            f"CREATE {('VIEW', 'SEQUENCE', 'TABLE')[number % 3]} {name} {('AS SELECT 1', '', '(a int)')[number % 3]}"
        )
    refusal = refused(tutorial)
    assert {statement.split()[2] for statement in refusal.statements} == {f"public.{name}" for name in ours}
    obey(tutorial, refusal)
    assert tutorial.trades() == []


def test_name_of_the_kept_table_must_be_free(tutorial: Tutorial) -> None:
    """A table that was kept by an earlier adoption is not overwritten."""
    tutorial.create(hypertable=False)
    tutorial.run(f"CREATE TABLE {KEPT} (a int)")
    refusal = refused(tutorial)
    assert "(stocks_real_time_before_candleworks already exists)" in str(refusal)
    obey(tutorial, refusal)
    assert tutorial.rows("SELECT count(*) FROM stocks_real_time_before_candleworks_before_candleworks") == [(0,)]


def test_table_of_another_role_is_named(tutorial: Tutorial) -> None:
    """A role that may not rename the old table is told who has to do what."""
    tutorial.create(hypertable=False)
    tutorial.run("DROP ROLE IF EXISTS adopter")
    tutorial.run("CREATE ROLE adopter LOGIN")
    try:
        tutorial.run("GRANT CREATE ON SCHEMA public TO adopter")
        tutorial.run("GRANT pg_read_all_settings TO adopter")
        tutorial.run(f"GRANT CREATE ON DATABASE {make_name(tutorial.dsn)} TO adopter")
        with pytest.raises(AdoptionRefusedError) as refusal:
            migrate(make_conninfo(tutorial.dsn, user="adopter"), load_settings({}))
        assert refusal.value.statements == [
            "ALTER TABLE public.company OWNER TO adopter;",
            "ALTER TABLE public.stocks_real_time OWNER TO adopter;",
        ]
        for statement in refusal.value.statements:
            tutorial.run(statement)
        assert migrate(make_conninfo(tutorial.dsn, user="adopter"), load_settings({}))
    finally:
        tutorial.run("DROP OWNED BY adopter CASCADE")
        tutorial.run("DROP ROLE adopter")


def make_name(dsn: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])


def test_server_without_locks_left_is_named(tutorial: Tutorial) -> None:
    """Rows of more days than the server can lock chunks for end in a sentence, with everything as before."""
    tutorial.create(hypertable=False)
    tutorial.insert([(at("2022-01-03 15:00:00") + timedelta(weeks=week), "AAPL", 1, 1) for week in range(40)])
    with connect(tutorial.dsn) as other:

        def take_all_locks(_: str) -> None:
            with pytest.raises(psycopg.errors.OutOfMemory):
                other.execute("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 10000000) n")

        with pytest.raises(TerminalError) as error:
            migrate(tutorial.dsn, load_settings({}), take_all_locks)
    assert str(error.value) == (
        "The old rows need more chunks than the server has locks for (out of shared memory): set"
        " storage.chunk_interval_days in the configuration to 7, or max_locks_per_transaction of the server to 1024,"
        " and migrate again; nothing was changed."
    )
    assert tutorial.rows("SELECT count(*) FROM stocks_real_time") == [(40,)]
