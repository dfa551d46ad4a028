"""sync_calendars(): the database knows the sessions that the configuration asks for."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import exchange_calendars
import pytest

from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect
from candleworks.errors import ConfigurationError
from candleworks.settings import Calendars, Settings
from candleworks.storage.calendars import Calendar, save_calendar

from .conftest import Market

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, about exchange_calendars


@pytest.fixture
def broken_calendar() -> Iterator[str]:
    """The name of a calendar that fails when it is computed."""

    class Broken(type(exchange_calendars.get_calendar("XNYS"))):  # type: ignore[misc] # a class known at run time
        def __init__(self, *_: object, **__: object) -> None:
            raise NotImplementedError("implemented by subclasses")

    exchange_calendars.register_calendar_type("BROKEN", Broken, force=True)
    yield "BROKEN"
    exchange_calendars.deregister_calendar("BROKEN")


def test_sessions_reach_from_1990_to_the_end_of_next_year(connection: Connection, settings: Settings) -> None:
    """The calendar of stocks is stored whole, with the sessions that exchange_calendars has."""
    assert sync_calendars(connection, settings) == ["FX", "XNYS"]
    stored = connection.execute(
        "SELECT session, open_at, close_at FROM candleworks.sessions WHERE calendar = 'XNYS' ORDER BY 1"
    ).fetchall()
    last_day = date(clock.now().year + 1, 12, 31)
    schedule = exchange_calendars.get_calendar("XNYS", start="1990-01-01", end=str(last_day)).schedule
    assert stored == [
        (day.date(), opening.to_pydatetime(), closing.to_pydatetime())
        for day, opening, closing in zip(schedule.index, schedule["open"], schedule["close"], strict=True)
    ]
    assert stored[0][0] == date(1990, 1, 2)
    assert stored[-1][0] > date(last_day.year, 12, 20)


def test_nothing_changed_costs_nothing(market: Market) -> None:
    """A second sync computes nothing, writes nothing and does not import exchange_calendars."""
    before = market.connection.execute("SELECT txid_current()").fetchone()
    program = f"""
import sys
from candleworks.candles.calendars import sync_calendars
from candleworks.settings import load_settings
from candleworks.database.connection import connect
with connect({market.dsn!r}) as connection:
    assert sync_calendars(connection, load_settings({{}})) == []
assert "exchange_calendars" not in sys.modules and "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=market.file.parent)
    changed = market.connection.execute(
        "SELECT count(*) FROM candleworks.calendar_rules r, candleworks.calendars c"
        " WHERE r.xmin::text::bigint > %s OR c.xmin::text::bigint > %s",
        [before[0], before[0]] if before else None,
    ).fetchone()
    assert changed == (0,)


def test_changed_configuration_is_followed(market: Market) -> None:
    """Another calendar for a symbol, and another default, count from the next sync on; the old ones are forgotten."""

    def calendars(*symbols: str) -> list[str]:
        return [
            row[0]
            for symbol in symbols
            for row in market.connection.execute("SELECT candleworks.calendar_of(%s)", [symbol])
        ]

    assert calendars("AAPL", "VOD", "BTC/USD") == ["XNYS", "XNYS", "24/7"]
    market.configure("{stocks: XTSE, symbols: {VOD: LSE, BTC/USD: CMES}}")
    assert calendars("AAPL", "VOD", "BTC/USD", "ETH/USD") == ["XTSE", "LSE", "CMES", "24/7"]
    market.configure("{stocks: 24/7}")
    assert calendars("AAPL", "VOD", "BTC/USD") == ["24/7", "24/7", "24/7"]


def test_calendar_is_computed_anew_when_its_source_changed(market: Market) -> None:
    """Sessions of another version of exchange_calendars, or of last year, are replaced."""
    save_calendar(market.connection, Calendar("XNYS", date(1990, 1, 1), date(2020, 12, 31), "an older one", []))
    stocks = "SELECT count(*) FROM candleworks.sessions WHERE calendar = 'XNYS'"
    assert market.connection.execute(stocks).fetchone() == (0,)
    assert sync_calendars(market.connection, market.configure()) == []
    assert market.sessions("AAPL", "2026-01-01", "2026-02-01") == []


@pytest.mark.parametrize("name", ["XTKS", "XBOM", "XHKG", "CMES", "24/5"])
def test_calendars_that_begin_late_or_end_early_are_stored_as_far_as_they_go(market: Market, name: str) -> None:
    """Tokyo begins in 1997 and Bombay ends with the published holidays: the table says which days are known."""
    market.configure(f"{{symbols: {{SOME: {name}}}}}")
    kind = type(exchange_calendars.get_calendar(name))
    earliest, latest = kind.bound_min(), kind.bound_max()
    stored = market.connection.execute(
        "SELECT first_day, last_day, (SELECT count(*) > 1000 FROM candleworks.sessions s WHERE s.calendar = c.name)"
        " FROM candleworks.calendars c WHERE name = %s",
        [name],
    ).fetchone()
    default = (date(1990, 1, 1), date(clock.now().year + 1, 12, 31))
    assert stored == (
        max(default[0], earliest.date() if earliest else default[0]),
        min(default[1], latest.date() if latest else default[1]),
        True,
    )


def test_broken_calendar_is_named(connection: Connection, settings: Settings, broken_calendar: str) -> None:
    """A calendar that exchange_calendars cannot compute is refused with its name; the others are kept."""
    broken = settings.model_copy(update={"calendars": Calendars(symbols={"OPAP": broken_calendar})})
    with pytest.raises(ConfigurationError, match="calendar BROKEN cannot be computed by exchange_calendars") as error:
        sync_calendars(connection, broken)
    assert str(error.value).endswith(
        " (implemented by subclasses): name another one under calendars in the configuration."
    )
    assert "XNYS" in sync_calendars(connection, settings)


def test_currencies_trade_from_sunday_to_friday_evening_in_new_york(market: Market) -> None:
    """Days of 24 hours that begin at 17:00 New York in summer and winter, and none on Christmas and New Year."""
    assert market.connection.execute("SELECT candleworks.calendar_of('EUR/USD')").fetchone() == ("FX",)
    assert market.connection.execute(
        "SELECT session::text, to_char(open_at, 'DD HH24:MI'), to_char(close_at, 'DD HH24:MI')"
        " FROM candleworks.sessions WHERE calendar = 'FX'"
        " AND (session BETWEEN '2026-10-30' AND '2026-11-02' OR session IN ('2026-12-25', '2027-01-01')) ORDER BY 1"
    ).fetchall() == [("2026-10-30", "29 21:00", "30 21:00"), ("2026-11-02", "01 22:00", "02 22:00")]


def test_many_syncs_at_once_do_the_work_of_one(market: Market) -> None:
    """Processes that start together leave each session once."""
    settings = market.configure()
    market.connection.execute("DELETE FROM candleworks.calendars")

    def sync(_: int) -> None:
        with connect(market.dsn) as connection:
            sync_calendars(connection, settings)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(sync, range(6)))
    assert market.connection.execute(
        "SELECT count(*) > 9000, count(DISTINCT session) = count(*) FROM candleworks.sessions WHERE calendar = 'XNYS'"
    ).fetchone() == (True, True)
