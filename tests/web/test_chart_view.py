"""What the chart shows of little and of much history, and in which zone."""

from datetime import datetime, timedelta

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import load_settings
from tests.web.browser import Page, until
from tests.web.conftest import MONDAY, Store, every_minute
from tests.web.reading import UP, candle_count, minute, see

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def coloured_columns(page: Page, colours: list[list[int]]) -> list[int]:
    """The leftmost and the rightmost column of the chart in which candles have one of the colours."""
    script = f"""
    (() => {{
      const copy = new OffscreenCanvas(innerWidth, innerHeight).getContext("2d", {{ willReadFrequently: true }});
      const box = document.querySelector("#chart").getBoundingClientRect();
      for (const canvas of document.querySelectorAll("#chart canvas")) {{
        const place = canvas.getBoundingClientRect();
        const target = [place.x - box.x, place.y - box.y, place.width, place.height];
        if (place.width > box.width / 2) copy.drawImage(canvas, ...target);
      }}
      const {{ data, width, height }} = copy.getImageData(0, 0, box.width - 80, box.height * 0.75);
      const found = new Set();
      for (let n = 0; n < data.length; n += 4)
        for (const [red, green, blue] of {colours})
          if (data[n] === red && data[n + 1] === green && data[n + 2] === blue) found.add((n / 4) % width);
      const columns = [...found].sort((a, b) => a - b);
      return columns.length ? [columns[0], columns.at(-1), columns.length, width] : null;
    }})()
    """
    return list(page.wait_for(script))


def test_two_candles_stand_in_the_middle(page: Page, site: str, store: Store) -> None:
    """Not as two blocks at the right edge: they are as narrow as among sixty."""
    store("AAPL", [(MONDAY, 100.0, 1.0), (MONDAY + timedelta(seconds=9), 101.0, 1.0)])
    store("AAPL", [(MONDAY + timedelta(minutes=1, seconds=n), 101.0 - n / 9, 1.0) for n in range(9)])
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 1))
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.move(5, 5)
    # the price line is drawn in a candle's colour over the whole width, so the falling candle is not looked for
    left, right, _, width = coloured_columns(page, [UP])
    assert 0.35 * width < left <= right < 0.65 * width
    assert right - left < width / 40


def test_much_history_opens_with_its_newest_candles(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """About 150 of them; earlier ones are reached by scrolling."""
    store("AAPL", every_minute(MONDAY, 3_000))
    refresh(connection)
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 2_999))
    box = page.box("#chart")
    page.move(box["x"] + 6, box["y"] + 60)
    until(lambda: page.text("[data-field=time]") != minute(MONDAY, 2_999), 30, "the leftmost candle")
    leftmost = datetime.fromisoformat(f"{page.text('[data-field=time]')}+00:00")
    assert 100 <= 2_999 - (leftmost - MONDAY) / timedelta(minutes=1) <= 160


def test_history_that_arrives_later_is_taken_over(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Older candles appear without a reload, more of them while scrolling, and the newest stays the newest."""
    start = MONDAY + timedelta(minutes=5_000)
    store("AAPL", every_minute(start, 2))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(start, 1))
    assert candle_count(page) == 2
    store("AAPL", every_minute(MONDAY, 5_000))
    refresh(connection)
    until(lambda: candle_count(page) == 2_000, 30, "a page of history")
    see(page, "time", minute(start, 1))
    page.evaluate("document.querySelector('#chart').focus()")
    for _ in range(100):
        page.press("Home", 36)
        page.settle()
        if candle_count(page) == 5_002:
            break
    page.press("Home", 36)
    see(page, "time", minute(MONDAY, 0))


def test_history_before_a_full_page_is_found(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Also where nothing older was known when more candles were loaded than are read again."""
    start = MONDAY + timedelta(minutes=100)
    store("AAPL", every_minute(start, 2_010))
    refresh(connection)
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(start, 2_009))
    page.evaluate("document.querySelector('#chart').focus()")
    page.press("Home", 36)
    until(lambda: candle_count(page) == 2_010, 30, "all candles")
    store("AAPL", every_minute(MONDAY, 100))
    refresh(connection)
    until(lambda: page.press("Home", 36) or candle_count(page) == 2_110, 60, "older candles")


def test_times_are_those_of_the_viewer_the_exchange_or_utc(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """The choice is remembered; days stay those of UTC, and the zone is named."""
    sync_calendars(connection, load_settings({}))
    store("AAPL", every_minute(MONDAY, 3))
    page.call("Emulation.setTimezoneOverride", timezoneId="America/Sao_Paulo")
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", "2026-03-02 06:32")
    assert page.text("[data-field=zone]") == "GMT-3"
    options = "[...document.querySelector('#zone').options].map((option) => option.text)"
    wanted = ["your zone (Sao Paulo)", "the exchange's zone (New York)", "UTC"]
    until(lambda: page.evaluate(options) == wanted, 30, "the zones")
    for time, zone in (("2026-03-02 04:32", "EST"), ("2026-03-02 09:32", "UTC")):
        page.press("z", 90, "z")
        see(page, "time", time)
        assert page.text("[data-field=zone]") == zone
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", "2026-03-02 09:32")
    page.evaluate("document.querySelector('#zone').focus()")
    page.press("ArrowUp", 38)
    see(page, "time", "2026-03-02 04:32")
    page.click("#periods label:has([value='1d'])")
    see(page, "time", "2026-03-02")
    assert page.text("[data-field=zone]") == "UTC"


def test_an_hour_that_the_clock_shows_twice_is_drawn_twice(page: Page, site: str, store: Store) -> None:
    """When summer time ends in Berlin, 02:30 comes twice, and both are there in their order."""
    start = datetime(2025, 10, 26, 0, 0, tzinfo=MONDAY.tzinfo)
    store("BTC/USD", every_minute(start, 120))
    page.call("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
    page.goto(f"{site}?symbol=BTC/USD")
    see(page, "time", "2025-10-26 02:59")
    assert page.text("[data-field=zone]") == "GMT+1"
    page.evaluate("document.querySelector('#chart').focus()")
    for _ in range(7):
        page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="ArrowLeft", windowsVirtualKeyCode=37, modifiers=8)
    see(page, "time", "2025-10-26 02:59")
    assert page.text("[data-field=zone]") == "GMT+2"
    assert candle_count(page) == 120


def test_an_address_with_a_range_opens_on_it(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Also one before the newest page of candles; whatever is chosen next is drawn as ever."""
    store("AAPL", every_minute(MONDAY, 5_000))
    refresh(connection)
    start, stop = MONDAY + timedelta(minutes=1_000), MONDAY + timedelta(minutes=1_099)
    page.goto(f"{site}?symbol=AAPL&from={start.timestamp():.0f}&to={stop:%Y-%m-%dT%H:%M:%SZ}")
    see(page, "time", minute(MONDAY, 4_999))
    assert [edge(page, side) for side in ("left", "right")] == [minute(MONDAY, 1_000), minute(MONDAY, 1_099)]
    page.click("#periods label:has([value='15m'])")
    page.wait_for("location.search === '?symbol=AAPL&period=15m'")


def edge(page: Page, side: str) -> str:
    """The time of the candle at an edge of the chart."""
    box = page.box("#chart")
    before = page.text("[data-field=time]")
    page.move(box["x"] + (10 if side == "left" else box["width"] - 90), box["y"] + 60)
    until(lambda: page.text("[data-field=time]") != before, 30, "a candle at the edge")
    return page.text("[data-field=time]")
