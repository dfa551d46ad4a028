"""Indicators on the chart page, in a real browser."""

from datetime import timedelta

import httpx
import pytest

from candleworks.database.engine import Engine
from tests.web.browser import Page
from tests.web.conftest import MONDAY, Store, every_minute
from tests.web.reading import candle_count, minute, see

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
LINES = "[...document.querySelectorAll('#indicator-lines p')].map((line) => line.textContent)"
# The tops of the texts of panes below the candles lie below each other.
PANES = "new Set([...document.querySelectorAll('#chart table tr')].filter((row) => row.offsetHeight > 30)).size"
OFFER = "[...document.querySelectorAll('#indicators .offers button')].find((b) => b.textContent === '{}')"
SEARCH = "new URLSearchParams(location.search).get('ind')"


def lines(page: Page) -> list[str]:
    return list(page.evaluate(LINES))


def test_an_address_names_the_indicators(page: Page, site: str, store: Store) -> None:
    """Over the candles and in panes below them, each with its newest value; a link shows the same."""
    store("AAPL", every_minute(MONDAY, 60))
    page.goto(f"{site}?symbol=AAPL&ind=sma-21,donchian-5,rsi-14,obv")
    page.wait_for(f"{LINES}.length === 4 && {LINES}[0].length > 6")
    assert lines(page) == ["SMA 21100.49", "DONCHIAN 5100.59100.57100.55", "RSI 14100.0", "OBV600.0"]
    assert page.evaluate(PANES) == 3
    assert page.evaluate("location.search").endswith("ind=sma-21,donchian-5,rsi-14,obv")
    assert candle_count(page) == 60


def test_the_crosshair_reads_indicators_out(page: Page, site: str, store: Store) -> None:
    """The values of the candle under it are those that the server has."""
    store("AAPL", every_minute(MONDAY, 60))
    page.goto(f"{site}?symbol=AAPL&ind=sma-3")
    page.wait_for(f"{LINES}.join().includes('100.58')")
    page.evaluate("document.querySelector('#chart').focus()")
    page.press("ArrowLeft", 37)
    page.press("ArrowLeft", 37)
    see(page, "time", minute(MONDAY, 58))
    found = httpx.get(f"{site}indicators.json?symbol=AAPL&name=sma&length=3").json()["values"][58]["value"]
    page.wait_for(f"{LINES}.join() === 'SMA 3{found:.2f}'")


def test_indicators_are_chosen_without_a_mouse(page: Page, site: str, store: Store) -> None:
    """A key opens the menu, parameters are set in it, and the address and the next visit keep the choice."""
    store("AAPL", every_minute(MONDAY, 60))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 59))
    page.press("i", 73, "i")
    page.wait_for(f"Boolean({OFFER.format('Relative strength index')})")
    page.evaluate(OFFER.format("Relative strength index") + ".focus()")
    page.press("Enter", 13, "\r")
    page.wait_for(f"{SEARCH} === 'rsi-14' && {LINES}.join().startsWith('RSI 14')")
    page.evaluate("document.querySelector('#indicators .chosen input').select()")
    page.type("7")
    page.press("Enter", 13, "\r")
    page.wait_for(f"{SEARCH} === 'rsi-7' && {LINES}.join().startsWith('RSI 7')")
    page.evaluate("document.querySelector('#indicators').close()")
    page.goto(site)
    page.wait_for(f"{SEARCH} === 'rsi-7' && {LINES}.length === 1")
    page.press("i", 73, "i")
    page.wait_for("document.querySelector('#indicators .chosen .icon') !== null")
    page.click("#indicators .chosen .icon")
    page.wait_for(f"{SEARCH} === null && {LINES}.length === 0 && {PANES} === 1")


def test_a_number_out_of_bounds_is_not_taken(page: Page, site: str, store: Store) -> None:
    """The browser says what is allowed, and what is drawn stays."""
    store("AAPL", every_minute(MONDAY, 30))
    page.goto(f"{site}?symbol=AAPL&ind=sma-20")
    page.wait_for(f"{LINES}.length === 1")
    page.click("#indicators-button")
    page.wait_for("document.querySelector('#indicators .chosen input') !== null")
    page.evaluate("document.querySelector('#indicators .chosen input').select()")
    page.type("0")
    page.press("Enter", 13, "\r")
    page.wait_for("document.querySelector('#indicators .chosen input').matches(':invalid')")
    assert page.evaluate(SEARCH) == "sma-20"


def test_values_follow_the_candles(page: Page, site: str, store: Store) -> None:
    """A tick changes the forming candle's value, and a new candle gets its own."""
    store("AAPL", every_minute(MONDAY, 30))
    page.goto(f"{site}?symbol=AAPL&ind=sma-2")
    page.wait_for(f"{LINES}.join() === 'SMA 2100.28' || {LINES}.join() === 'SMA 2100.29'")
    store("AAPL", [(MONDAY + timedelta(minutes=29, seconds=30), 200.28, 10.0)])
    page.wait_for(f"{LINES}.join() === 'SMA 2150.28'")
    store("AAPL", [(MONDAY + timedelta(minutes=30), 300.28, 10.0)])
    page.wait_for(f"{LINES}.join() === 'SMA 2250.28'")
    assert candle_count(page) == 31


def test_indicators_stay_with_another_symbol(page: Page, site: str, store: Store) -> None:
    """And leave no times of the old one behind."""
    store("AAPL", every_minute(MONDAY, 60))
    store("MSFT", every_minute(MONDAY + timedelta(days=1), 40, price=300.0))
    page.goto(f"{site}?symbol=AAPL&ind=ema-5,macd-3-5-2")
    page.wait_for(f"{LINES}.length === 2 && {LINES}[0].startsWith('EMA 5100.')")
    page.press("j", 74, "j")
    see(page, "symbol", "MSFT")
    page.wait_for(f"{LINES}.length === 2 && {LINES}[0].startsWith('EMA 5300.')")
    assert candle_count(page) == 40
    assert page.evaluate(SEARCH) == "ema-5,macd-3-5-2"


def test_a_wrong_indicator_in_an_address_says_what_there_is(page: Page, site: str, store: Store) -> None:
    """The server's sentence stands in its place, and the others are drawn."""
    store("AAPL", every_minute(MONDAY, 30))
    page.goto(f"{site}?symbol=AAPL&ind=adx-3,sma-0,sma-2")
    page.wait_for(f"{LINES}.length === 3")
    first, second, third = lines(page)
    assert first.startswith("ADX The parameter name is 'adx', expected one of sma, ema,")
    assert second == "SMA 0 The parameter length is '0', expected a whole number from 1 to 10000."
    assert third in ("SMA 2100.28", "SMA 2100.29")
    page.settle()
    assert all("400" in line for line in page.console)
    page.console.clear()


def test_a_phone_has_room_for_both(page: Page, site: str, store: Store) -> None:
    """Nothing is wider than the window, the candles keep the largest pane, and the menu fits."""
    store("AAPL", every_minute(MONDAY, 60))
    page.resize(420, 860)
    page.goto(f"{site}?symbol=AAPL&ind=bollinger-20-2,rsi-14,macd-12-26-9")
    page.wait_for(f"{LINES}.length === 3")
    rows = "[...document.querySelectorAll('#chart table tr')].map((row) => row.offsetHeight)"
    heights = page.evaluate(f"{rows}.filter((height) => height > 30)")
    assert len(heights) == 3
    assert heights[0] > 200
    assert min(heights[1:]) > 60
    page.click("#indicators-button")
    page.wait_for("document.querySelectorAll('#indicators .chosen li').length === 3")
    assert page.evaluate("document.documentElement.scrollWidth") == 420
    assert page.evaluate("document.querySelector('#indicators').scrollWidth <= 400")
