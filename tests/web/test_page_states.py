"""What the page says when there is nothing to draw or nothing new, what it remembers, and where it leads."""

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from candleworks import clock
from candleworks.candles.watch_list import WatchList
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.errors import TransientError
from candleworks.web.server import PageOptions
from candleworks.web.services import ServiceLink
from tests.web.browser import Browser, Page, until
from tests.web.conftest import MONDAY, Store, every_minute, serving
from tests.web.reading import COUNT_PIXELS, UP, minute, see
from tests.web.test_gaps import open_gaps

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_the_start_page_remembers_what_was_drawn_last(page: Page, site: str, store: Store) -> None:
    """Symbol and period; an address that names others wins, and a symbol that is gone gives way to a live one."""
    for symbol in ("AAPL", "MSFT"):
        store(symbol, every_minute(MONDAY, 10))
    page.goto(f"{site}?symbol=MSFT&period=5m")
    see(page, "time", minute(MONDAY, 5))
    page.goto(site)
    see(page, "symbol", "MSFT")
    assert page.evaluate("location.search") == "?symbol=MSFT&period=5m"
    page.goto(f"{site}?symbol=AAPL&period=1m")
    see(page, "time", minute(MONDAY, 9))
    page.goto(site)
    see(page, "symbol", "AAPL")
    page.evaluate("localStorage.setItem('candleworks', JSON.stringify({ chart: { symbol: 'GONE', period: '1m' } }))")
    page.goto(site)
    see(page, "symbol", "AAPL")


def test_the_theme_is_that_of_the_system_until_one_is_chosen(page: Page, site: str, store: Store) -> None:
    """Dark, then light by the button's turns; remembered, and the chart follows."""
    store("AAPL", every_minute(MONDAY, 3))
    background = "getComputedStyle(document.body).backgroundColor"
    dark, light = "rgb(15, 19, 24)", "rgb(255, 255, 255)"
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 2))
    assert page.evaluate(background) == dark
    for label, colour in (("dark", dark), ("light", light)):
        page.click("#theme")
        assert page.evaluate("document.querySelector('#theme').ariaLabel") == f"Theme: {label}"
        assert page.evaluate(background) == colour
    until(lambda: page.evaluate(f"{COUNT_PIXELS}([255, 255, 255])") > 10_000, 30, "a light chart")
    page.goto(f"{site}?symbol=AAPL")
    assert page.evaluate(background) == light
    page.goto(f"{site}quality")
    assert page.evaluate(background) == light


def test_services_are_linked_with_their_states(browser: Browser, dsn: str) -> None:
    """By a name that says the state, without a request to them."""
    links = [ServiceLink("Grafana", "http://127.0.0.1:1/", "api/health")]
    with serving(dsn, options=PageOptions(services=links)) as site, browser.page() as page:
        page.goto(site)
        label = "document.querySelector('#services').lastChild?.ariaLabel"
        page.wait_for(f"{label} === 'Grafana: not reachable'")
        assert page.evaluate("document.querySelector('#services').lastChild.href") == "http://127.0.0.1:1/"
        assert {url for url in page.requests if not url.startswith(site)} == set()


def test_a_feed_that_is_down_is_named_with_its_reason(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """In the state and in a sentence above the candles; both go when the gap is closed."""
    store("AAPL", every_minute(MONDAY, 10))
    open_gaps(connection, ("AAPL", 10, None, False))
    page.goto(f"{site}?symbol=AAPL")
    until(lambda: page.text("#status-text") == "Feed down", 30, "the state")
    sentence = "The feed is down since 2026-03-02 09:40:00: disconnected. New candles appear when it is back."
    assert page.text("#banner") == sentence
    connection.execute("UPDATE feed_gaps SET ended_at = started_at + interval '1 minute'")
    until(lambda: page.text("#status-text") == "Stale", 30, "the end of the gap")
    assert page.evaluate("document.querySelector('#banner').hidden") is True


def test_a_closed_market_is_not_called_stale(page: Page, site: str, store: Store, connection: Connection) -> None:
    """The header says since when and until when, in the exchange's zone."""
    connection.execute("INSERT INTO candleworks.calendar_rules VALUES ('*', 'TEST')")
    connection.execute(
        "INSERT INTO candleworks.calendars VALUES ('TEST', current_date - 9, current_date + 9, 'test', 'Asia/Tokyo')"
    )
    connection.execute(
        "INSERT INTO candleworks.sessions (calendar, session, open_at, close_at)"
        " SELECT 'TEST', current_date + n, date_trunc('hour', now()) + n * interval '1 day' + interval '2 hours',"
        " date_trunc('hour', now()) + n * interval '1 day' + interval '4 hours' FROM generate_series(-3, 3) n"
    )
    store("7203", every_minute(clock.now() - timedelta(days=1), 2))
    page.goto(f"{site}?symbol=7203")
    until(lambda: page.text("#status-text") == "Market closed", 30, "the state")
    said = page.text("[data-field=market]")
    assert re.fullmatch(r"Market closed since (\w{3} )?\d\d:00, opens (\w{3} )?\d\d:00 \(Tokyo\)", said)


@pytest.mark.usefixtures("engine")
def test_a_database_that_is_away_is_said_calmly(browser: Browser, tmp_path: Path) -> None:
    """In place of the chart, with what the page does about it."""
    with serving(f"postgresql://localhost/x?host={tmp_path}") as site, browser.page() as page:
        page.goto(site)
        until(lambda: page.text("#notice .sentence") == "The database does not answer.", 30, "the sentence")
        assert page.text("#notice .detail").endswith("This page tries again every second.")
        assert page.text("#status-text") == "Database away"


def test_an_empty_database_is_friendly_and_comes_alive(page: Page, site: str, store: Store) -> None:
    """One sentence at first; the first candle is drawn without a reload."""
    page.goto(site)
    until(lambda: page.text("#notice .sentence") == "Waiting for the first tick …", 30, "notice")
    assert page.text("#status-text") == "Waiting for data"
    store("BTC/USD", every_minute(MONDAY, 2))
    see(page, "symbol", "BTC/USD")
    see(page, "time", minute(MONDAY, 1))
    assert page.evaluate("document.querySelector('#notice').hidden") is True


def test_a_lost_server_is_visible_and_found_again(browser: Browser, dsn: str, store: Store) -> None:
    """What was drawn stays, the state says what is wrong, and everything continues when the server is back."""
    store("AAPL", every_minute(MONDAY, 3))
    with browser.page() as page:
        with serving(dsn) as url:
            page.goto(f"{url}?symbol=AAPL")
            see(page, "time", minute(MONDAY, 2))
            port = httpx.URL(url).port
        until(lambda: page.text("#status-text") == "Connection lost", 30, "connection lost")
        assert page.text("#status-since") == "last tick 2026-03-02 09:32:00"
        assert page.text("[data-field=time]") == minute(MONDAY, 2)
        with serving(dsn, port or 0):
            store("AAPL", [(MONDAY + timedelta(minutes=3), 101.5, 1.0)])
            see(page, "close", "101.50")
            assert page.text("#status-text") == "Stale"


def test_a_candle_that_is_not_closed_is_pale_until_it_is(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """The stream says when: then it gets the colour of the others, although a newer one stands behind it."""
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, reason) VALUES ('test', 'AAPL', %s, 'dropped')", [MONDAY]
    )
    store(
        "AAPL",
        [(MONDAY + timedelta(minutes=n, seconds=s), 100.0 + n + s / 100, 1.0) for n in range(3) for s in (0, 50)],
    )
    page.goto(f"{site}?symbol=AAPL")
    see(page, "close", "102.50")
    pale = page.evaluate(f"{COUNT_PIXELS}({UP}, 8)")
    page.evaluate("document.querySelector('#chart').focus()")
    page.press("ArrowLeft", 37)
    page.wait_for("document.querySelector('#mark').textContent.includes('dropped')")
    connection.execute("UPDATE feed_gaps SET ended_at = %s, filled_at = now()", [MONDAY + timedelta(minutes=9)])
    until(lambda: page.evaluate(f"{COUNT_PIXELS}({UP}, 8)") > pale + 300, 30, "the colour of closed candles")


def test_a_stale_feed_is_visible(page: Page, site: str, store: Store) -> None:
    """Without new ticks the state is not `Live`, and says when the last tick came."""
    store("AAPL", every_minute(MONDAY, 3))
    page.goto(f"{site}?symbol=AAPL")
    until(lambda: page.text("#status-text") == "Stale", 30, "stale")
    assert page.text("#status-since") == "last tick 2026-03-02 09:32:00"


def test_a_stopped_feed_is_not_called_live(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Though its last tick is young; it is live again when it was started."""
    store("BTC/USD", every_minute(clock.now() - timedelta(minutes=2), 3))
    connection.execute("INSERT INTO feed_symbols VALUES ('coins', 'BTC/USD', 'streaming', NULL, now())")
    connection.execute("INSERT INTO feed_stops VALUES ('coins', now(), 'cancelled in Prefect', true)")
    page.goto(f"{site}?symbol=BTC/USD")
    until(lambda: page.text("#status-text") == "Stopped by an operator", 30, "the stop")
    assert page.evaluate("document.querySelector('#status').title").startswith("cancelled in Prefect, since ")
    connection.execute("DELETE FROM feed_stops")
    until(lambda: page.text("#status-text") == "Live", 30, "life")


def test_candles_do_not_wait_for_the_watch_list(
    browser: Browser, site: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its prices cannot be read, it says so, and the chart is live all the same."""

    def fail(*_: object) -> None:
        raise TransientError("The prices cannot be read: try again.")

    monkeypatch.setattr(WatchList, "refresh", fail)
    start = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    store("AAPL", every_minute(start, 5))
    with browser.page() as page:
        page.goto(f"{site}?symbol=AAPL")
        see(page, "time", minute(start, 4))
        store("AAPL", [(clock.now(), 250.5, 1.0)])
        see(page, "last", "250.50")
        assert page.text("#status-text") == "Live"
        until(lambda: page.text("#lines-count") == "not up to date", 30, "the state of the list")


LINKS = ("Quality", "Prefect", "Grafana")


@pytest.mark.parametrize("width", [1600, 1400, 1361, 1280, 1121, 1024, 800, 420])
def test_the_header_fits_its_window(page: Page, site: str, store: Store, width: int) -> None:
    """The last button of the header, which opens the watch list, lies inside at every width, and the state is whole.

    With links to all that runs beside it.
    """
    store("AAPL", every_minute(MONDAY, 3))
    page.resize(width, 700)
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 2))
    links = "".join(f'<a href="#" data-state="up"><span class="dot"></span><span>{name}</span></a>' for name in LINKS)
    page.evaluate(f"document.querySelector('#services').innerHTML = {links!r}")
    page.evaluate("document.querySelector('#status-text').textContent = 'Live'")
    box = page.box("#watch-list-button")
    assert box["x"] + box["width"] <= width
    cut = "(e => e.scrollWidth > e.clientWidth)(document.querySelector('#status-text'))"
    assert page.evaluate(cut) is False
