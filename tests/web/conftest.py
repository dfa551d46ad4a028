"""The real server on a real socket, in front of the test's own database."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from candleworks.database.connection import Connection
from candleworks.web.server import PageOptions, address, listen, run_server
from tests.web.browser import Browser, Page, chromium

MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
Store = Callable[..., None]


@contextlib.contextmanager
def serving(dsn: str, port: int = 0, options: PageOptions = PageOptions()) -> Iterator[str]:  # noqa: B008 - immutable
    """Run the server in a thread and yield the page's address."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    listener = listen(port)
    server = run_server(dsn, listener, stop, options)
    thread = threading.Thread(target=loop.run_until_complete, args=[server])
    thread.start()
    try:
        yield address(listener)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()
        loop.close()


@pytest.fixture
def site(dsn: str) -> Iterator[str]:
    """The address of the page of a running server."""
    with serving(dsn) as url:
        yield url


@pytest.fixture
def client(site: str) -> Iterator[httpx.Client]:
    """An HTTP client of the running server."""
    with httpx.Client(base_url=site, timeout=30) as client:
        yield client


@pytest.fixture
def store(connection: Connection) -> Store:
    """Stores trades: `store("AAPL", [(time, price, volume or None), ...])`."""

    def store(symbol: str, trades: Iterable[tuple[datetime, float, float | None]]) -> None:
        rows = [(time, symbol, price, volume) for time, price, volume in trades]
        times = [row[0] for row in rows]
        connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [min(times), max(times)])
        with connection.cursor().copy("COPY stocks_real_time (time, symbol, price, volume) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    return store


def every_minute(start: datetime, count: int, *, price: float = 100.0) -> list[tuple[datetime, float, float | None]]:
    """One trade a minute, a cent dearer each, ten shares each."""
    return [(start + timedelta(minutes=n), round(price + n / 100, 2), 10.0) for n in range(count)]


@pytest.fixture
def store_quotes(connection: Connection) -> Store:
    """Stores quotes: `store_quotes("EUR/USD", [(time, bid, ask, volume of each side or None), ...])`."""

    def store_quotes(symbol: str, quotes: Iterable[tuple[datetime, float, float, float | None]]) -> None:
        rows = [(time, symbol, bid, ask, volume, volume) for time, bid, ask, volume in quotes]
        times = [row[0] for row in rows]
        connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [min(times), max(times)])
        copying = "COPY quotes (time, symbol, bid, ask, bid_volume, ask_volume) FROM STDIN"
        with connection.cursor().copy(copying) as copy:
            for row in rows:
                copy.write_row(row)

    return store_quotes


def quoted_every_minute(start: datetime, count: int) -> list[tuple[datetime, float, float, float | None]]:
    """One quote a minute, a point dearer each, two points between bid and ask."""
    return [
        (start + timedelta(minutes=n), round(1.10401 + n / 100_000, 5), round(1.10403 + n / 100_000, 5), 1.5)
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all pages."""
    program = chromium()
    if program is None:
        pytest.skip("no Chromium: install Debian's package `chromium`, or put one into the PATH")
    with Browser(program) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:  # noqa: ARG001 - closed before the server stops
    """A dark tab whose console must stay empty."""
    with browser.page() as page:
        page.prefer("dark")
        yield page
        page.settle()
        assert page.console == []
