"""The candle feed as a page of D3 and TechanJS reads it: `d3.csv`, a time parsed with spaces, five numbers."""

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from candleworks.database.engine import Engine
from tests.serving import in_background
from tests.web.browser import Browser, chromium
from tests.web.conftest import MONDAY, Store, quoted_every_minute

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
PACKAGES = {"d3@4.2.8": "build/d3.min.js", "techan@0.8.0": "dist/techan.min.js"}  # what techan 0.8 asks for
PAGE = Path(__file__).with_name("candlesticks.html")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the page and the two libraries, taken from npm."""
    npm, directory = shutil.which("npm"), tmp_path_factory.mktemp("techan")
    if npm is None or chromium() is None:
        pytest.skip("no npm or no Chromium: install Debian's packages `npm` and `chromium`")
    for package, script in PACKAGES.items():
        packed = subprocess.run([npm, "pack", "--silent", package], cwd=directory, capture_output=True, check=False)
        if packed.returncode:
            pytest.skip(f"npm cannot fetch {package}: run this test with access to its registry")
        with tarfile.open(directory / packed.stdout.decode().strip()) as archive:
            content = archive.extractfile(f"package/{script}")
            assert content
            (directory / Path(script).name).write_bytes(content.read())
    shutil.copy(PAGE, directory)
    return directory


class Handler(SimpleHTTPRequestHandler):
    """Serves the page, and the feed beside it, as a reverse proxy would."""

    def __init__(self, *arguments: Any, site: str, **named: Any) -> None:
        self.site = site
        super().__init__(*arguments, **named)

    def do_GET(self) -> None:
        if not self.path.startswith("/ohlc.csv"):
            return super().do_GET()
        answer = httpx.get(f"{self.site.rstrip('/')}{self.path}")
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["content-type"])
        self.end_headers()
        self.wfile.write(answer.content)
        return None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def page_address(libraries: Path, site: str) -> Iterator[str]:
    """The address of the page."""
    handler = partial(Handler, directory=str(libraries), site=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, in_background(server):
        yield f"http://127.0.0.1:{server.server_port}/{PAGE.name}"


def test_a_page_of_d3_and_techanjs_draws_the_feed(page_address: str, store_quotes: Store) -> None:
    """Every row gives a time, four prices and a volume, and becomes a candle; mid has the volume of both sides."""
    quotes = quoted_every_minute(MONDAY, 40)
    store_quotes("EUR/USD", [(time, bid, ask, 0.1 + 0.2 * number) for number, (time, bid, ask, _) in enumerate(quotes)])
    program = chromium()
    assert program
    with Browser(program) as browser, browser.page() as page:
        page.goto(f"{page_address}?symbol=EUR/USD&price=mid&period=5m&time_format=sql")
        page.wait_for("window.data")
        rows = page.evaluate("data.map((row) => [row.date.getMinutes(), row.open, row.close, row.volume])")
        bodies = page.evaluate("document.querySelector('path.candle.body.up').getAttribute('d').split('M').length - 1")
        assert page.console == []
    assert bodies == 8
    assert rows == [
        [(30 + 5 * n) % 60, round(1.10402 + n / 20_000, 5), round(1.10406 + n / 20_000, 5), 5 + 10 * n]
        for n in range(8)
    ]
