"""The watch list of the page, and the price in its header."""

from datetime import timedelta

import pytest

from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import load_settings
from tests.web.browser import Page, until
from tests.web.conftest import MONDAY, Store, every_minute
from tests.web.reading import minute, see

MINUS = "\N{MINUS SIGN}"
pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def lines_of(page: Page, part: str = "code") -> list[str]:
    """One part of every line of the watch list, in its order."""
    script = f"""[...document.querySelectorAll('#lines [role=option]')]
        .sort((one, other) => one.ariaPosInSet - other.ariaPosInSet)
        .map((line) => line.querySelector('.{part}').textContent)"""
    return list(page.evaluate(script))


def test_the_watch_list_shows_all_symbols_in_a_chosen_order(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """By symbol, or by change with the largest first; again turns it around; it is remembered, and live."""
    sync_calendars(connection, load_settings({}))
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for symbol, price in (("BTC/USD", 90.0), ("ETH/USD", 110.0), ("ADA/USD", 100.0)):
        store(symbol, [(midnight - timedelta(minutes=2), 100.0, 1.0), (midnight, price, 1.0)])
    page.goto(site)
    until(lambda: lines_of(page) == ["ADA/USD", "BTC/USD", "ETH/USD"], 30, "all symbols")
    until(lambda: lines_of(page, "change") == ["0.00 %", f"{MINUS}10.00 %", "+10.00 %"], 30, "their changes")
    page.click("[data-order=change]")
    assert lines_of(page) == ["ETH/USD", "ADA/USD", "BTC/USD"]
    page.click("[data-order=change]")
    assert lines_of(page) == ["BTC/USD", "ADA/USD", "ETH/USD"]
    page.goto(site)
    until(lambda: lines_of(page) == ["BTC/USD", "ADA/USD", "ETH/USD"], 30, "the remembered order")
    store("ETH/USD", [(midnight + timedelta(seconds=1), 50.0, 1.0)])
    until(lambda: lines_of(page) == ["ETH/USD", "BTC/USD", "ADA/USD"], 30, "the new order")
    assert lines_of(page, "price")[0] == "50.00"


def test_the_watch_list_is_walked_by_keys(page: Page, site: str, store: Store) -> None:
    """J and k anywhere, arrows in the list; a line that is clicked is drawn; Escape leads back to the chart."""
    for symbol in ("AAA", "BBB", "CCC"):
        store(symbol, every_minute(MONDAY, 2, price=ord(symbol[0])))
    page.goto(f"{site}?symbol=AAA")
    until(lambda: lines_of(page) == ["AAA", "BBB", "CCC"], 30, "all symbols")
    for key, code, symbol in (("j", 74, "BBB"), ("j", 74, "CCC"), ("j", 74, "CCC"), ("k", 75, "BBB")):
        page.press(key, code, key)
        see(page, "symbol", symbol)
    page.click("#lines [data-symbol=AAA]")
    see(page, "symbol", "AAA")
    page.evaluate("document.querySelector('#lines').focus()")
    page.press("End", 35)
    see(page, "symbol", "CCC")
    page.press("ArrowUp", 38)
    see(page, "symbol", "BBB")
    selected = "document.querySelector('#lines [aria-selected=true]').dataset.symbol"
    assert page.evaluate(selected) == "BBB"
    assert page.evaluate("document.querySelector('#lines').getAttribute('aria-activedescendant')") == "line-BBB"
    page.press("Escape", 27)
    assert page.evaluate("document.activeElement.id") == "chart"
    page.press("/", 191, "/")
    assert page.evaluate("document.activeElement.id") == "symbol"
    page.press("Escape", 27)
    page.press("?", 191, "?")
    assert page.evaluate("document.querySelector('#help').open") is True
    page.press("Escape", 27)
    assert page.evaluate("document.querySelector('#help').open") is False


def test_thousands_of_symbols_cost_a_screenful(page: Page, site: str, connection: Connection) -> None:
    """Only the lines in view are elements; the last one is reached by scrolling and by a key."""
    connection.execute("SELECT candleworks.prepare_ticks(now(), now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        " SELECT now(), 'S' || to_char(n, 'FM0000'), n FROM generate_series(1, 5000) n"
    )
    page.goto(f"{site}?symbol=S0001")
    until(lambda: page.text("#lines-count") == "5000", 30, "all symbols")
    assert page.evaluate("document.querySelectorAll('#lines [role=option]').length") < 60
    page.evaluate("document.querySelector('#lines').focus()")
    page.press("End", 35)
    see(page, "symbol", "S5000")
    assert lines_of(page)[-1] == "S5000"


def test_the_watch_list_of_a_phone_is_a_drawer(page: Page, site: str, store: Store) -> None:
    """Closed at first; it opens by its button, and closes with a choice, by Escape and by a tap beside it."""
    for symbol in ("AAA", "BBB"):
        store(symbol, every_minute(MONDAY, 2))
    page.resize(390, 844)
    page.goto(f"{site}?symbol=AAA")
    see(page, "time", minute(MONDAY, 1))
    visible = "document.querySelector('#watch-list').checkVisibility()"
    assert page.evaluate(visible) is False
    page.click("#watch-list-button")
    assert page.evaluate(visible) is True
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.click("#lines [data-symbol=BBB]")
    see(page, "symbol", "BBB")
    assert page.evaluate(visible) is False
    for close in (lambda: page.press("Escape", 27), lambda: page.click("#watch-list-close")):
        page.click("#watch-list-button")
        close()
        assert page.evaluate(visible) is False


def test_the_header_has_the_newest_price_and_the_day_change(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """The price of the newest candle, whatever the crosshair is on; the change is against the previous close."""
    sync_calendars(connection, load_settings({}))
    connection.execute("INSERT INTO company (symbol, name, exchange) VALUES ('BTC/USD', 'Bitcoin', 'Coinbase')")
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    store("BTC/USD", [(midnight - timedelta(minutes=2), 80.0, 1.0), (midnight, 100.0, 1.0)])
    page.goto(f"{site}?symbol=BTC/USD")
    see(page, "last", "100.00")
    see(page, "day-change", "+20.00 (+25.00 %)")
    see(page, "name", "Bitcoin · Coinbase")
    page.evaluate("document.querySelector('#chart').focus()")
    page.press("ArrowLeft", 37)
    page.press("ArrowLeft", 37)
    see(page, "close", "80.00")
    see(page, "last", "100.00")
    store("BTC/USD", [(midnight + timedelta(seconds=1), 60.0, 1.0)])
    see(page, "day-change", f"{MINUS}20.00 ({MINUS}25.00 %)")
