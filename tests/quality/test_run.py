"""What a run of checks reads, keeps and tells, and what it leaves alone."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, sqlalchemy_url
from candleworks.database.engine import Engine
from candleworks.database.profiles import CHECK
from candleworks.errors import ConfigurationError, TerminalError, TransientError, UsageError
from candleworks.imports.importer import import_file
from candleworks.model.notices import Notice
from candleworks.quality import run_checks
from candleworks.quality.registry import CHECKS
from candleworks.settings import Settings, load_settings
from candleworks.storage.quality import quality_now
from tests.quality.conftest import FEED, NOW, PRICES, Watched, failing

# How runs are made does not depend on the engine, and takes half the time on one.
ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
MINUTE = timedelta(minutes=1)
SAMPLE = Path(__file__).parents[2] / "../shared/data"
SAMPLE_DAY = datetime(2022, 10, 19, tzinfo=UTC)


def crossed(watched: Watched, symbol: str, moment: datetime, **columns: object) -> None:
    watched.tick(symbol, moment, bid=PRICES[symbol] + 0.02, ask=PRICES[symbol] + 0.01, **columns)


def test_a_healthy_platform_raises_nothing(watched: Watched) -> None:
    """Two simulated hours pass every check but the one that needs a vendor, and each leaves one row."""
    report = watched.check()
    assert report.passed
    assert report.idle == ["vendor-bars"]
    rows = watched.execute('SELECT "check", subject, status FROM quality_results')
    assert sorted(rows) == sorted((c.name, c.scope, "passed") for c in CHECKS if c.name != "vendor-bars")


def test_a_real_day_raises_nothing(connection: Connection, settings: Settings) -> None:
    """50,000 real ticks with after-hours trades 30 % off, totals that step back and shared seconds: all is well."""
    if not SAMPLE.is_dir():
        pytest.skip(
            "the recorded day is not there: put stocks_real_time_2022-10-19.csv and company.csv in ../shared/data"
        )
    sync_calendars(connection, settings)
    for name in ("stocks_real_time_2022-10-19.csv", "company.csv"):
        import_file(connection, settings, SAMPLE / name)
    dsn = str(settings.dsn.get_secret_value()) if settings.dsn else ""
    report = run_checks(settings, dsn, since=SAMPLE_DAY)
    assert failing(report) == set()
    assert report.idle == ["vendor-bars"]
    new = run_checks(settings, dsn)
    assert failing(new) == set()
    assert "price-jump" in new.idle


def test_an_empty_database_raises_nothing(connection: Connection, settings: Settings) -> None:
    """Before the first feed there is nothing to judge."""
    sync_calendars(connection, settings)
    assert failing(run_checks(settings, str(settings.dsn.get_secret_value()) if settings.dsn else "")) == set()


@ON_PLAIN_POSTGRESQL
def test_a_weekend_raises_nothing(watched: Watched) -> None:
    """On Saturday only cryptocurrencies trade; stocks and currencies are not missed."""
    saturday = datetime(2026, 3, 7, 12, tzinfo=UTC)
    for minute in range(70):
        watched.tick("BTC/USD", saturday - minute * MINUTE)
        watched.tick("ETH/USD", saturday - minute * MINUTE)
    for symbol, hour in {"AAPL": 21, "MSFT": 21, "EUR/USD": 22}.items():
        watched.tick(symbol, datetime(2026, 3, 6, hour, tzinfo=UTC) - MINUTE)
    watched.refresh()
    watched.execute("DELETE FROM ingest_stats")
    assert failing(watched.check("ticks", until=saturday)) == set()


@ON_PLAIN_POSTGRESQL
def test_a_symbol_that_was_just_asked_for_is_given_time(watched: Watched) -> None:
    """After a stop of hours the feed starts anew: the time before does not count."""
    later = NOW + timedelta(hours=2, minutes=5)
    watched.execute("UPDATE feed_symbols SET since = %s", later - MINUTE)
    assert failing(watched.check("ticks", until=later)) == set()


@ON_PLAIN_POSTGRESQL
def test_only_subscribed_symbols_are_expected(watched: Watched) -> None:
    """One that never had a tick fails after twice its limit of silence; one that was removed does not."""
    watched.execute(
        "INSERT INTO feed_symbols VALUES"
        " ('crypto', 'XMR/USD', 'asked', NULL, %s), ('crypto', 'LTC/USD', 'asked', NULL, %s),"
        " ('crypto', 'OLD', 'removed', NULL, %s)",
        NOW - 3 * MINUTE, NOW - MINUTE, NOW - 100 * MINUTE,
    )  # fmt: skip
    report = watched.check("ticks")
    assert failing(report) == {("never-seen", "XMR/USD")}
    assert report.failed[0].expected == "a tick within 120 s in market hours"


def test_each_run_reads_what_came_since_the_last(watched: Watched) -> None:
    """A fault is told once; a late one is found by its arrival; rows that nobody looked at are not missed."""
    crossed(watched, "AAPL", NOW - 2 * MINUTE + timedelta(seconds=1))
    assert failing(watched.check("ticks", until=NOW)) == {("crossed-quotes", "AAPL")}
    later = NOW + 5 * MINUTE
    for symbol in PRICES:
        watched.tick(symbol, later - MINUTE)
    report = watched.check("ticks", until=later)
    assert failing(report) == set()
    assert ("crossed-quotes", "AAPL", "passed") in {(r.check, r.subject, r.status) for r in report.results}
    crossed(watched, "MSFT", NOW - 30 * MINUTE + timedelta(seconds=1), received_at=later + MINUTE)
    for symbol in ("BTC/USD", "ETH/USD"):
        watched.tick(symbol, later + 4 * MINUTE)
    assert failing(watched.check("ticks", until=later + 5 * MINUTE)) == {("crossed-quotes", "MSFT")}


@ON_PLAIN_POSTGRESQL
def test_since_looks_at_the_time_of_ticks_again(watched: Watched) -> None:
    """What was checked already, or was imported, is looked at when somebody asks; the next run goes on as before."""
    crossed(watched, "AAPL", NOW - 90 * MINUTE + timedelta(seconds=1))
    assert failing(watched.check("ticks")) == set()
    before = watched.execute("SELECT * FROM candleworks.checked_until")
    report = watched.check("ticks", since=NOW - timedelta(hours=2))
    assert failing(report) == {("crossed-quotes", "AAPL")}
    assert watched.execute("SELECT * FROM candleworks.checked_until") == before


@ON_PLAIN_POSTGRESQL
def test_without_new_ticks_of_a_symbol_its_trouble_is_not_over(watched: Watched) -> None:
    """No row is no proof: the failure stands until ticks of the symbol pass."""
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'AAPL' AND time >= %s", NOW - 2 * MINUTE)
    crossed(watched, "AAPL", NOW - 2 * MINUTE + timedelta(seconds=1))
    watched.check("ticks")
    later = NOW + 10 * MINUTE
    watched.tick("MSFT", later - MINUTE)
    watched.check("ticks", until=later)
    (state,) = [s for s in quality_now(watched.connection) if (s.check, s.subject) == ("crossed-quotes", "AAPL")]
    assert state.status == "failed"


@ON_PLAIN_POSTGRESQL
def test_every_failing_subject_is_told(watched: Watched) -> None:
    """Great Expectations fetches 200 rows at most; 300 symbols that were never seen are 300 results."""
    watched.execute(
        "INSERT INTO feed_symbols SELECT %s, 'N' || n, 'asked', NULL, %s FROM generate_series(1, 300) n",
        FEED, NOW - 60 * MINUTE,
    )  # fmt: skip
    report = watched.check("ticks")
    assert len([result for result in report.failed if result.check == "never-seen"]) == 300


@ON_PLAIN_POSTGRESQL
def test_a_flood_of_bad_rows_says_that_it_is_one(watched: Watched) -> None:
    """More rows than are fetched: nobody is taken for sound only because the sample did not reach it."""
    watched.execute("UPDATE stocks_real_time SET price = 0 WHERE time >= %s", NOW - 50 * MINUTE)
    (found, *_) = [result for result in watched.check("ticks").failed if result.check == "price-positive"]
    assert "more than 200 rows fail, only these are counted" in (found.observed or "")


@ON_PLAIN_POSTGRESQL
def test_alerts_open_and_end_with_the_checks(watched: Watched) -> None:
    """One failure opens an alert, two passes end it, and both are told."""
    told: list[Notice] = []
    watched.execute("UPDATE feed_symbols SET status = 'refused', reason = 'not in your plan' WHERE symbol = 'MSFT'")
    watched.check("ticks", notify=told.append)
    watched.check("ticks", notify=told.append)
    assert [(notice.name, notice.subject) for notice in told] == [("quality.failed", "never-seen/MSFT")]
    assert watched.execute("SELECT status, count FROM alerts") == [("open", 2)]
    watched.execute("UPDATE feed_symbols SET status = 'streaming', reason = NULL WHERE symbol = 'MSFT'")
    watched.check("ticks", notify=told.append)
    watched.check("ticks", notify=told.append)
    assert [notice.name for notice in told] == ["quality.failed", "quality.resolved"]


@ON_PLAIN_POSTGRESQL
def test_what_is_not_judged_any_more_is_no_trouble(watched: Watched) -> None:
    """The feed does not ask for the refused symbol any more."""
    watched.execute("UPDATE feed_symbols SET status = 'refused', reason = 'x' WHERE symbol = 'MSFT'")
    watched.check("ticks")
    watched.execute("UPDATE feed_symbols SET status = 'removed', reason = NULL WHERE symbol = 'MSFT'")
    report = watched.check("ticks")
    assert ("never-seen", "MSFT", "passed") in {(r.check, r.subject, r.status) for r in report.results}


@ON_PLAIN_POSTGRESQL
def test_a_check_that_breaks_is_an_error_and_ends_nothing(watched: Watched) -> None:
    """Its SQL fails: the reason is kept, an alert is opened, the trouble before stays open, the others go on."""
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'MSFT' AND time >= %s", NOW - 20 * MINUTE)
    watched.check("ticks")
    watched.execute("ALTER FUNCTION candleworks.subscribed_symbols() RENAME TO gone")
    for _ in range(3):
        report = watched.check("ticks")
    assert failing(report) == {("freshness", "stocks_real_time"), ("tick-rate", "stocks_real_time")}
    assert not report.failed
    assert "function candleworks.subscribed_symbols() does not exist" in (report.errors[0].observed or "")
    alerts = watched.execute("SELECT subject, result, status FROM alerts WHERE \"check\" = 'freshness'")
    assert sorted(alerts) == [("MSFT", "failed", "open"), ("stocks_real_time", "error", "open")]
    watched.execute("ALTER FUNCTION candleworks.gone() RENAME TO subscribed_symbols")
    for _ in range(2):
        report = watched.check("ticks")
    assert failing(report) == {("freshness", "MSFT")}
    alerts = watched.execute("SELECT subject, result, status FROM alerts WHERE \"check\" = 'freshness'")
    assert sorted(alerts) == [("MSFT", "failed", "open"), ("stocks_real_time", "error", "resolved")]


@ON_PLAIN_POSTGRESQL
def test_a_broken_check_reads_its_ticks_the_next_time(watched: Watched) -> None:
    """Where it could not look, it looks again."""
    watched.check("ticks", until=NOW - 30 * MINUTE)
    crossed(watched, "AAPL", NOW - 20 * MINUTE + timedelta(seconds=1))
    watched.execute("ALTER FUNCTION candleworks.new_quotes RENAME TO gone")
    watched.check("ticks", until=NOW - 10 * MINUTE)
    moments = dict(watched.execute('SELECT "check", moment FROM candleworks.checked_until'))
    assert moments["wide-spread"] == NOW - 30 * MINUTE
    assert moments["crossed-quotes"] == NOW - 10 * MINUTE


@ON_PLAIN_POSTGRESQL
def test_results_are_kept_all_or_not_at_all(watched: Watched) -> None:
    """Where the last write of a run fails, nothing of it is there, and an alert says so until a suite runs again."""
    watched.execute("ALTER TABLE candleworks.checked_until ADD CONSTRAINT no CHECK (\"check\" <> 'company')")
    for _ in range(2):
        with pytest.raises(
            TerminalError, match=r'The checks cannot run: the database .* reported an error \(new row for relation "'
        ):
            watched.check("system")
    assert watched.execute("SELECT count(*) FROM quality_results") == [(0,)]
    alert = 'SELECT "check", subject, result, status, count FROM alerts'
    assert watched.execute(alert) == [("check-run", "system", "error", "open", 2)]
    watched.execute("ALTER TABLE candleworks.checked_until DROP CONSTRAINT no")
    for _ in range(2):
        watched.check("system")
    assert watched.execute(alert) == [("check-run", "system", "error", "resolved", 2)]


@ON_PLAIN_POSTGRESQL
def test_a_server_without_a_place_for_the_checks_is_told(watched: Watched) -> None:
    """Great Expectations connects by itself, and may find the last place taken: another try may succeed."""
    watched.execute("CREATE ROLE lonely LOGIN CONNECTION LIMIT 1")
    watched.execute("GRANT pg_read_all_data TO lonely")
    dsn = watched.settings.dsn.get_secret_value() if watched.settings.dsn else ""
    try:
        with pytest.raises(TransientError, match=r"Great Expectations cannot connect to the database \(.*too many"):
            run_checks(watched.settings, psycopg.conninfo.make_conninfo(dsn, user="lonely"))
    finally:
        watched.execute("DROP ROLE lonely")


@ON_PLAIN_POSTGRESQL
def test_checks_only_read(watched: Watched) -> None:
    """The sessions of Great Expectations cannot write, and leave nothing open."""
    watched.check("system")
    sessions = watched.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'candleworks check'")
    assert sessions == [(0,)]
    dsn = watched.settings.dsn.get_secret_value() if watched.settings.dsn else ""
    assert "default_transaction_read_only%3Don" in sqlalchemy_url(dsn, CHECK, "check")


@pytest.mark.parametrize("password", ["a b@c/d:e%f", "$HOME${x}", "'\\\"#?&="])
def test_any_password_survives_the_way_to_sqlalchemy(password: str) -> None:
    """No character of it is taken for a part of the address or for a variable."""
    from sqlalchemy import make_url  # noqa: PLC0415 - as in the code

    url = sqlalchemy_url(
        psycopg.conninfo.make_conninfo(host="/run/a b", user="me@x", password=password, dbname="d"), CHECK, "check"
    )
    assert "$" not in url
    parsed = make_url(url)
    assert (parsed.username, parsed.password, parsed.query["host"]) == ("me@x", password, "/run/a b")


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    """Nothing can be stored, so the caller is told; another try may succeed."""
    with pytest.raises(TransientError):
        run_checks(load_settings({}), f"postgresql://localhost/x?host={tmp_path}")


@ON_PLAIN_POSTGRESQL
def test_unknown_names_are_refused(watched: Watched) -> None:
    """A suite or a check that does not exist is named together with those that do."""
    with pytest.raises(UsageError, match="Unknown suite 'tick': choose one of ticks, candles, system, all"):
        watched.check("tick")
    quality = watched.settings.quality.model_copy(update={"disabled": ("jump",)})
    watched.settings = watched.settings.model_copy(update={"quality": quality})
    with pytest.raises(ConfigurationError, match=r"quality.disabled names the unknown check 'jump': choose from"):
        watched.check()


@ON_PLAIN_POSTGRESQL
def test_a_disabled_check_does_not_run(watched: Watched) -> None:
    """The configuration may switch checks off by name."""
    quality = watched.settings.quality.model_copy(update={"disabled": ("company", "disk")})
    watched.settings = watched.settings.model_copy(update={"quality": quality})
    assert {"company", "disk"}.isdisjoint(result.check for result in watched.check("system").results)


def test_only_a_run_of_checks_imports_great_expectations() -> None:
    """It costs seconds and 140 MB, which no other command has to pay."""
    code = "import sys, candleworks.cli.main; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
