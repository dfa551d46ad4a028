"""The chart page in a real browser."""

from datetime import datetime, timedelta

import pytest

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.web.server import PageOptions
from tests.web.browser import Browser, Page, until
from tests.web.conftest import MONDAY, Store, every_minute, quoted_every_minute, serving
from tests.web.reading import COUNT_PIXELS, DOWN, UP, candle_count, minute, see
from tests.web.test_gaps import open_gaps, settle

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
FILLED_GAP = [0x1A, 0x28, 0x39]  # --filled-gap on --back
UP_VOLUME = [0x17, 0x46, 0x45]  # --up-volume on --back
LEGEND = "[...document.querySelectorAll('#marks [class]')].filter((e) => !e.hidden).map((e) => e.textContent)"


def test_candles_and_volume_are_drawn(page: Page, site: str, store: Store) -> None:
    """Rising and falling candles have their colours, and the read-out shows the newest one in full."""
    store("AAPL", [(MONDAY + timedelta(minutes=n), 143.0 + (n % 7) / 8, 1000.0 * n) for n in range(60)])
    store("AAPL", [(MONDAY + timedelta(minutes=n, seconds=30), 143.0 + (n % 5) / 8, 234.5) for n in range(60)])
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 59))
    for colour in (UP, DOWN):
        until(lambda colour=colour: page.evaluate(f"{COUNT_PIXELS}({colour})") > 500, 30, f"pixels of {colour}")
    shown = {name: page.text(f"[data-field={name}]") for name in ("open", "high", "low", "close", "change", "volume")}
    assert shown == {
        "open": "143.375",
        "high": "143.500",
        "low": "143.375",
        "close": "143.500",
        "change": "+0.125 (+0.09 %)",
        "volume": "59,234.5",
    }
    assert candle_count(page) == 60


def test_nothing_is_asked_of_another_server(page: Page, site: str, store: Store) -> None:
    """Every request of the page, its scripts and its live updates goes to where it came from."""
    store("AAPL", every_minute(MONDAY, 5))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 4))
    store("AAPL", [(MONDAY + timedelta(minutes=5), 200.0, 1.0)])
    see(page, "close", "200.00")
    assert any("/stream?" in url for url in page.requests)
    assert {url for url in page.requests if not url.startswith(site)} == set()


def test_a_symbol_is_found_by_typing(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Part of a company's name and Enter choose it, the address says so, and the back button returns."""
    for symbol in ("AAPL", "MSFT", "BTC/USD"):
        store(symbol, every_minute(MONDAY, 3, price=len(symbol) * 100.0))
    connection.execute("INSERT INTO company (symbol, name) VALUES ('AAPL', 'Apple'), ('MSFT', 'Microsoft')")
    page.goto(site)
    see(page, "symbol", "AAPL")
    see(page, "close", "400.02")
    page.click("#symbol")
    assert page.evaluate("document.querySelectorAll('#symbols [role=option]').length") == 3
    page.type("micro")
    page.press("Enter", 13)
    see(page, "symbol", "MSFT")
    see(page, "name", "Microsoft")
    assert "symbol=MSFT" in page.evaluate("location.search")
    page.click("#symbol")
    page.press("ArrowUp", 38)
    page.press("Enter", 13)
    see(page, "symbol", "BTC/USD")
    see(page, "close", "700.02")
    page.evaluate("history.back()")
    see(page, "symbol", "MSFT")
    see(page, "close", "400.02")


def test_a_period_is_chosen_or_typed(page: Page, site: str, store: Store) -> None:
    """The buttons and the box for any other period change the candles and the address, which can be loaded again."""
    store("AAPL", every_minute(MONDAY, 60))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 59))
    page.click("#periods label:has([value='15m'])")
    see(page, "time", minute(MONDAY, 45))
    assert candle_count(page) == 4
    page.click("#period")
    page.type("20m")
    page.press("Enter", 13, "\r")
    see(page, "time", minute(MONDAY, 50))
    assert "period=20m" in page.evaluate("location.search")
    assert page.evaluate("document.querySelector('#period').value") == "20m"
    page.goto(f"{site}{page.evaluate('location.search')}")
    see(page, "time", minute(MONDAY, 50))
    page.click("#periods label:has([value='1d'])")
    see(page, "time", "2026-03-02")


def test_seconds_are_a_period_like_any_other(page: Page, site: str, store: Store) -> None:
    """Chosen by a button or typed; times are told to the second."""
    store("AAPL", [(MONDAY + timedelta(seconds=second), 100.0 + second, 1.0) for second in range(12)])
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 0))
    page.click("#periods label:has([value='5s'])")
    see(page, "time", "2026-03-02 09:30:10")
    assert candle_count(page) == 3
    page.click("#period")
    page.type("7s")
    page.press("Enter", 13, "\r")
    see(page, "close", "111.00")
    assert page.text("[data-field=time]").startswith("2026-03-02 09:30:")


def test_a_symbol_with_quotes_is_drawn_by_bid_ask_or_mid(
    page: Page, site: str, store: Store, store_quotes: Store
) -> None:
    """Its usual side at first; a choice stands in the address, and goes where the next symbol does not have it."""
    store("AAPL", every_minute(MONDAY, 3))
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 3))
    page.goto(f"{site}?symbol=EUR/USD")
    see(page, "close", "1.10403")
    sides = "[...document.querySelector('#price').options].map((option) => option.text)"
    until(lambda: page.evaluate(sides) == ["Bid", "Ask", "Mid"], 30, "the sides")
    for side, close in (("ask", "1.10405"), ("mid", "1.10404")):
        page.evaluate("document.querySelector('#price').focus()")
        page.press("ArrowDown", 40)
        see(page, "close", close)
        assert f"price={side}" in page.evaluate("location.search")
    page.goto(f"{site}{page.evaluate('location.search')}")
    see(page, "close", "1.10404")
    page.click("#symbol")
    page.type("aapl")
    page.press("Enter", 13)
    see(page, "close", "100.02")
    assert "price=" not in page.evaluate("location.search")
    assert page.evaluate(sides) == ["Trade"]


def test_gaps_are_shaded_and_rebuilt_candles_marked(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """Filled and unfilled ones differ and are named, by the crosshair too."""
    store("AAPL", every_minute(MONDAY, 100))
    bars = [MONDAY + timedelta(minutes=n) for n in range(60, 80)]
    connection.execute("UPDATE stocks_real_time SET origin = 'bar' WHERE time = ANY(%s)", [bars])
    open_gaps(connection, ("AAPL", 60, 80, True), (None, 20, 40, False))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 99))
    assert page.evaluate(LEGEND) == ["Gap", "Filled gap", "Rebuilt"]
    shaded = f"{COUNT_PIXELS}({FILLED_GAP}, 2)"
    before = until(lambda: page.evaluate(shaded), 30, "the shade of a filled gap")
    height = page.box("#chart")["height"]
    assert 0.4 * 20 * 8 * height < before < 20 * 8 * height  # 20 candles of 8 pixels, behind grid, candles and volume
    page.evaluate("document.querySelector('#chart').focus()")
    for _ in range(4):
        page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="ArrowLeft", windowsVirtualKeyCode=37, modifiers=8)
    see(page, "time", minute(MONDAY, 69))
    assert page.text("#mark") == "Filled gap 2026-03-02 10:30:00 to 10:50:00: disconnected. Rebuilt from bars"
    connection.execute("UPDATE feed_gaps SET filled_at = now()")
    page.goto(f"{site}?symbol=AAPL")
    until(lambda: page.evaluate(LEGEND) == ["Filled gap", "Rebuilt"], 30, "the second gap filled")
    until(lambda: page.evaluate(shaded) > 1.5 * before, 30, "its shade")


def test_what_was_traded_in_a_gap_is_not_drawn_as_the_volume_of_a_minute(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """It would dwarf the others; the crosshair says how much it was."""
    volumes = [100_000.0 if n == 59 else 10.0 for n in range(60) if n < 40 or n > 58]
    minutes = [n for n in range(60) if n < 40 or n > 58]
    store("AAPL", [(MONDAY + timedelta(minutes=n), 100.0, v) for n, v in zip(minutes, volumes, strict=True)])
    connection.execute(
        "UPDATE stocks_real_time SET origin = 'twelvedata', day_volume = 1000 + extract(minute FROM time)"
    )
    open_gaps(connection, (None, 39, 59, False))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 59))
    drawn = f"{COUNT_PIXELS}({UP_VOLUME}, 2)"
    height = until(lambda: page.evaluate(drawn), 30, "volumes")
    page.evaluate("document.querySelector('#chart').focus()")
    page.press("ArrowLeft", 37)
    until(lambda: "100,000 of the volume traded before" in page.text("#mark"), 30, "the part before")
    connection.execute("UPDATE feed_gaps SET filled_at = now()")
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 59))
    assert until(lambda: page.evaluate(drawn), 30, "the one large volume") < height / 3


@pytest.mark.parametrize("simulated", [True, False])
def test_a_page_of_simulated_prices_says_that_its_market_never_closes(
    browser: Browser, dsn: str, store: Store, simulated: bool
) -> None:
    """Stocks that are live on a Saturday would be believed otherwise."""
    store("AAPL", every_minute(MONDAY, 3))
    with serving(dsn, options=PageOptions(simulated=simulated)) as site, browser.page() as page:
        page.goto(f"{site}?symbol=AAPL")
        see(page, "time", minute(MONDAY, 2))
        said = page.evaluate("document.querySelector('.simulated').checkVisibility()")
        assert (said, page.text(".simulated")) == (simulated, "Simulated prices: this market never closes")


def test_a_gap_while_the_market_was_closed_is_no_filled_one(
    page: Page, site: str, store: Store, connection: Connection
) -> None:
    """Nothing was missed, so nothing is shaded, and the crosshair says why; one without bars stays a gap."""
    store("AAPL", every_minute(MONDAY, 30))
    open_gaps(connection, ("AAPL", 5, 10, True), ("AAPL", 27, 28, True))
    settle(connection, "AAPL", "market_closed", start=5)
    settle(connection, "AAPL", "empty", start=27)
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 29))
    assert page.evaluate(LEGEND) == ["Gap"]
    assert page.evaluate(f"{COUNT_PIXELS}({FILLED_GAP}, 2)") == 0
    page.evaluate("document.querySelector('#chart').focus()")
    for mark in ("Gap without bars 2026-03-02 09:57:00 to 09:58:00", "Market closed 2026-03-02 09:35:00 to 09:40:00"):
        until(lambda mark=mark: stepped_left(page) == f"{mark}: disconnected", 30, mark)


def stepped_left(page: Page) -> str:
    """Put the crosshair on the candle to the left and return what is said of it once it is drawn."""
    page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="ArrowLeft", windowsVirtualKeyCode=37)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.text("#mark")


def test_an_open_gap_reaches_to_the_edge(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Nothing came since, and the newest candle says so."""
    store("AAPL", every_minute(MONDAY, 10))
    open_gaps(connection, ("AAPL", 9, None, False))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 9))
    page.evaluate("document.querySelector('#chart').focus()")
    page.press("ArrowLeft", 37)
    until(lambda: page.text("#mark") == "Gap since 2026-03-02 09:39:00: disconnected", 30, "the open gap")


def test_the_read_out_follows_the_crosshair(page: Page, site: str, store: Store) -> None:
    """Under the pointer any candle is read, by keys too; when the pointer leaves, the newest one is back."""
    store("AAPL", every_minute(MONDAY, 300))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 299))
    box = page.box("#chart")
    seen = []
    for part in (0.2, 0.4, 0.6):
        page.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2)
        until(lambda: page.text("[data-field=time]") not in [*seen, minute(MONDAY, 299)], 30, "another candle")
        seen.append(page.text("[data-field=time]"))
    assert seen == sorted(seen)
    n = int((datetime.fromisoformat(f"{seen[-1]}+00:00") - MONDAY).total_seconds() / 60)
    see(page, "close", f"{100 + n / 100:.2f}")
    see(page, "change", f"+0.01 (+{1 / (100 + (n - 1) / 100):.2f} %)")
    page.move(box["x"] + 10, 10)
    see(page, "time", minute(MONDAY, 299))
    page.evaluate("document.querySelector('#chart').focus()")
    for key, code, expected in (
        ("ArrowLeft", 37, 299),
        ("ArrowLeft", 37, 298),
        ("Home", 36, 0),
        ("ArrowRight", 39, 1),
        ("End", 35, 299),
    ):
        page.press(key, code)
        see(page, "time", minute(MONDAY, expected))
    assert page.text("#spoken").startswith(f"time {minute(MONDAY, 299)}, open 102.99, high 102.99")


def test_ticks_appear_live(page: Page, site: str, store: Store) -> None:
    """The forming candle changes in place, the next one is appended, and the state says that data moves."""
    start = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    store("AAPL", every_minute(start, 10))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(start, 9))
    assert candle_count(page) == 10
    store("AAPL", [(start + timedelta(minutes=9, seconds=5), 250.5, 90.0)])
    see(page, "high", "250.50")
    see(page, "volume", "100")
    assert candle_count(page) == 10
    now = clock.now()
    store("AAPL", [(now, 251.0, 1.0)])
    see(page, "time", minute(start, (now - start) // timedelta(minutes=1)))
    assert candle_count(page) == 11
    assert page.text("#status-text") == "Live"
    assert page.evaluate("document.title").startswith("AAPL 251 ")


def test_what_was_drawn_is_corrected(page: Page, site: str, store: Store, connection: Connection) -> None:
    """Candles before the newest one are read again now and then, for late ticks, and so are the gaps."""
    store("AAPL", every_minute(MONDAY, 10))
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 9))
    page.evaluate("document.querySelector('#chart').focus()")
    for _ in range(3):
        page.press("ArrowLeft", 37)
    see(page, "time", minute(MONDAY, 7))
    store("AAPL", [(MONDAY + timedelta(minutes=7, seconds=1), 300.0, 1.0)])
    open_gaps(connection, ("AAPL", 7, 8, False))
    until(lambda: page.text("[data-field=high]") == "300.00", 60, "the corrected candle")
    see(page, "time", minute(MONDAY, 7))
    until(lambda: page.text("#mark") == "Gap 2026-03-02 09:37:00 to 09:38:00: disconnected", 30, "the gap")


def test_older_candles_come_while_scrolling(page: Page, site: str, store: Store, connection: Connection) -> None:
    """20,000 candles can be scrolled through from the newest to the oldest and back."""
    store("AAPL", every_minute(MONDAY, 20_000))
    refresh(connection)
    page.goto(f"{site}?symbol=AAPL")
    see(page, "time", minute(MONDAY, 19_999))
    assert candle_count(page) == 2000
    page.evaluate("document.querySelector('#chart').focus()")
    for _ in range(100):
        page.press("Home", 36)
        page.settle()
        if candle_count(page) == 20_000:
            break
    assert candle_count(page) == 20_000
    page.press("Home", 36)
    see(page, "time", minute(MONDAY, 0))
    page.press("End", 35)
    see(page, "time", minute(MONDAY, 19_999))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("symbol=NOPE", "The symbol 'NOPE' is not stored: /symbols lists those that are."),
        ("symbol=AAPL&price=last", "The parameter price is 'last', expected trade, bid, ask or mid."),
        ("symbol=AAPL&price=bid", "No bid candles of AAPL are stored."),
        (
            "symbol=AAPL&period=90s",
            (
                "The parameter period is '90s', expected a number and a unit of s (up to 59), m, h, d, w or mo,"
                " such as 5s, 1m, 90m, 1h, 1d, 1w or 1mo, up to 10 years."
            ),
        ),
    ],
)
def test_a_wrong_address_is_explained(browser: Browser, site: str, store: Store, query: str, sentence: str) -> None:
    """The server's sentence stands where the chart would be, and the controls still lead on."""
    store("AAPL", every_minute(MONDAY, 3))
    with browser.page() as page:
        page.goto(f"{site}?{query}")
        until(lambda: page.text("#notice .sentence") == sentence, 30, sentence)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_narrow_window_fits_in_either_theme(page: Page, site: str, store: Store, scheme: str) -> None:
    """At 375 pixels nothing is cut off sideways, and the page follows the system's theme."""
    store("BTC/USD", every_minute(MONDAY, 200, price=123_456.78))
    page.prefer(scheme)
    page.resize(375, 700)
    page.goto(f"{site}?symbol=BTC%2FUSD")
    see(page, "time", minute(MONDAY, 199))
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    overflowing = """[...document.querySelectorAll("header *, .instrument *, .readout *, footer *")]
        .filter((e) => e.getBoundingClientRect().right > 375).map((e) => e.outerHTML)"""
    assert page.evaluate(overflowing) == []
    assert page.box("#chart")["height"] > 300
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"dark": "rgb(15, 19, 24)", "light": "rgb(255, 255, 255)"}[scheme]
