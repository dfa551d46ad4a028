"""Which symbols may be silent, for how long, and when."""

from datetime import UTC, datetime

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.feed.silence import SilenceMonitor, SilentSymbol
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Calendars, Settings, SilenceLimits
from candleworks.storage.calendars import sessions_around


def us(text: str) -> int:
    """A moment of the week from Monday, 16 to Sunday, 22 November 2026, when New York opens at 14:30 UTC."""
    day, time = text.split()
    number = 16 + ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].index(day)
    hour, minute, *second = map(int, time.split(":"))
    return int(datetime(2026, 11, number, hour, minute, *second, tzinfo=UTC).timestamp()) * MICROSECONDS


SESSIONS = {
    "XNYS": [(us(f"{day} 14:30"), us(f"{day} 21:00")) for day in ("Mon", "Tue", "Wed", "Thu", "Fri")],
    "XHKG": [(us("Mon 01:30"), us("Mon 04:00")), (us("Mon 05:00"), us("Mon 08:00"))],
    "FX": [(us("Mon 00:00"), us("Fri 22:00")), (us("Sun 22:00"), us("Sun 23:59"))],
}


def monitor_of(*symbols: str, since: str = "Mon 00:00", silence: SilenceLimits | None = None) -> SilenceMonitor:
    """Subscribed to the symbols since then, with a stock of Hong Kong among those that can be."""
    settings = Settings(silence=silence or SilenceLimits(), calendars=Calendars(symbols={"0700": "XHKG"}))
    monitor = SilenceMonitor(settings, symbols)
    monitor.sessions = SESSIONS
    monitor.subscribed(symbols, us(since))
    return monitor


def silent(monitor: SilenceMonitor, moment: str) -> list[SilentSymbol]:
    return monitor.silent_symbols(us(moment))


def test_a_stock_may_be_silent_at_night() -> None:
    """From the close to the next open, and over the weekend."""
    monitor = monitor_of("AAPL")
    monitor.received(["AAPL"], us("Mon 20:59"))
    for moment in ("Mon 21:00", "Tue 03:00", "Tue 14:29:59", "Sat 15:00", "Sun 15:00"):
        assert (silent(monitor, moment), monitor.feed_silent_since(us(moment))) == ([], None)


def test_bitcoin_may_be_silent_for_a_minute() -> None:
    """Day and night, every day; a tick starts the minute over."""
    monitor = monitor_of("BTC/USD")
    monitor.received(["BTC/USD"], us("Sun 03:00:00"))
    assert silent(monitor, "Sun 03:01:00") == []
    assert silent(monitor, "Sun 03:01:01") == [SilentSymbol("BTC/USD", us("Sun 03:00:00"))]
    monitor.received(["BTC/USD"], us("Sun 03:01:02"))
    assert silent(monitor, "Sun 03:02:02") == []


def test_silence_is_counted_from_the_open() -> None:
    """SilenceLimits before does not count."""
    monitor = monitor_of("AAPL")
    monitor.received(["AAPL"], us("Mon 20:59"))
    assert silent(monitor, "Tue 14:40:00") == []
    assert silent(monitor, "Tue 14:40:01") == [SilentSymbol("AAPL", us("Tue 14:30"))]


def test_a_break_is_no_silence() -> None:
    """Hong Kong has lunch."""
    monitor = monitor_of("0700")
    monitor.received(["0700"], us("Mon 03:59"))
    assert silent(monitor, "Mon 04:30") == []
    assert silent(monitor, "Mon 05:09") == []
    assert silent(monitor, "Mon 05:11") == [SilentSymbol("0700", us("Mon 05:00"))]


def test_currencies_have_a_weekend() -> None:
    """Which other pairs have not."""
    monitor = monitor_of("EUR/USD", "BTC/USD")
    monitor.received(["EUR/USD", "BTC/USD"], us("Fri 21:59"))
    assert silent(monitor, "Sat 12:00") == [SilentSymbol("BTC/USD", us("Fri 21:59"))]
    assert silent(monitor, "Thu 12:00") == []
    assert silent(monitor, "Sun 22:11") == [
        SilentSymbol("EUR/USD", us("Sun 22:00")),
        SilentSymbol("BTC/USD", us("Fri 21:59")),
    ]


def test_limits_have_exceptions() -> None:
    """By symbol; the others keep the general ones."""
    silence = SilenceLimits(around_the_clock_seconds=30, session_seconds=300, symbols={"ETH/USD": 120, "MSFT": 60})
    monitor = monitor_of("BTC/USD", "ETH/USD", "AAPL", "MSFT", since="Mon 15:00:00", silence=silence)
    names = {
        at: [found.symbol for found in silent(monitor, f"Mon 15:0{at}")] for at in ("0:31", "1:01", "2:01", "5:01")
    }
    assert names == {
        "0:31": ["BTC/USD"],
        "1:01": ["BTC/USD", "MSFT"],
        "2:01": ["BTC/USD", "ETH/USD", "MSFT"],
        "5:01": ["BTC/USD", "ETH/USD", "AAPL", "MSFT"],
    }


def test_a_feed_is_silent_when_no_symbol_ticks() -> None:
    """One tick is enough, even of a symbol that need not tick; silence starts with the last tick of any."""
    monitor = monitor_of("BTC/USD", "ETH/USD", "AAPL", since="Sun 03:00:00")
    monitor.received(["BTC/USD"], us("Sun 03:00:10"))
    monitor.received(["AAPL"], us("Sun 03:00:40"))
    assert monitor.feed_silent_since(us("Sun 03:01:40")) is None
    assert monitor.feed_silent_since(us("Sun 03:01:41")) == us("Sun 03:00:40")


def test_a_feed_has_a_limit_of_its_own() -> None:
    """Whatever the limits of its symbols are: a feed of stocks is silent after a minute too."""
    monitor = monitor_of("AAPL", "MSFT", since="Mon 15:00:00")
    assert monitor.feed_silent_since(us("Mon 15:01:00")) is None
    assert (monitor.feed_silent_since(us("Mon 15:01:01")), silent(monitor, "Mon 15:01:01")) == (us("Mon 15:00:00"), [])
    patient = monitor_of("AAPL", since="Mon 15:00:00", silence=SilenceLimits(feed_seconds=300))
    assert patient.feed_silent_since(us("Mon 15:05:00")) is None


def test_without_an_open_market_all_may_be_silent() -> None:
    """A feed of stocks at night."""
    assert monitor_of("AAPL", "MSFT").feed_silent_since(us("Tue 03:00")) is None


def test_silence_before_listening_says_nothing() -> None:
    """After a reconnect, or when a symbol joins, its time begins."""
    monitor = monitor_of("BTC/USD", since="Mon 00:00:00")
    monitor.disconnected()
    assert (silent(monitor, "Mon 00:05"), monitor.feed_silent_since(us("Mon 00:05"))) == ([], None)
    monitor.subscribed(["BTC/USD"], us("Mon 00:06:00"))
    assert silent(monitor, "Mon 00:07:00") == []
    assert silent(monitor, "Mon 00:07:01") == [SilentSymbol("BTC/USD", us("Mon 00:06:00"))]


def test_before_sessions_are_known_only_pairs_are_expected() -> None:
    """While the database is away it is not known whether New York is open."""
    monitor = monitor_of("AAPL", "BTC/USD", "EUR/USD")
    monitor.sessions = {}
    assert monitor.calendars == {"XNYS", "FX"}
    assert [found.symbol for found in silent(monitor, "Mon 20:00")] == ["BTC/USD"]
    assert [monitor.is_market_open(symbol, us("Mon 20:00")) for symbol in ("AAPL", "BTC/USD")] == [False, True]


def test_a_new_configuration_changes_who_is_watched() -> None:
    """Those that stay keep their times, with the new limits; those that went are forgotten."""
    monitor = monitor_of("BTC/USD", "ETH/USD", since="Mon 00:00:00")
    monitor.configure(Settings(silence=SilenceLimits(around_the_clock_seconds=90)), ["BTC/USD", "SOL/USD"])
    monitor.subscribed(["SOL/USD"], us("Mon 00:01:00"))
    assert silent(monitor, "Mon 00:01:30") == []
    assert silent(monitor, "Mon 00:01:31") == [SilentSymbol("BTC/USD", us("Mon 00:00"))]
    assert not monitor.is_market_open("ETH/USD", us("Mon 00:01"))


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
def test_the_sessions_come_from_the_database(connection: Connection) -> None:
    """Those around a moment: of New York and of currencies, on a holiday none of stocks."""
    thanksgiving = datetime(2026, 11, 26, 18, tzinfo=UTC)
    monitor = monitor_of("AAPL", "EUR/USD")
    sync_calendars(connection, Settings())
    monitor.sessions = sessions_around(connection, monitor.calendars, thanksgiving)
    now_us = int(thanksgiving.timestamp()) * MICROSECONDS
    assert [monitor.is_market_open(symbol, now_us) for symbol in ("AAPL", "EUR/USD")] == [False, True]
    day_us = 86_400 * MICROSECONDS
    assert monitor.is_market_open("AAPL", now_us - day_us)
    assert not monitor.is_market_open("EUR/USD", now_us + 2 * day_us)
