"""Who may ask, what every answer carries, and where the page's bytes come from."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from candleworks import web

LIBRARY = Path(*web.__path__) / "assets" / "lightweight-charts"
PATHS = [
    "/",
    "/quality",
    "/healthz",
    "/symbols",
    "/watchlist.json",
    "/services.json",
    "/ohlc.csv?symbol=NOPE",
    "/ohlc.json",
    "/nothing",
    "/assets/old/page.js",
]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8050", "[::1]:8050", "LOCALHOST:1"])
def test_loopback_names_are_served(client: httpx.Client, host: str) -> None:
    """With any port, because a tunnel may change it."""
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8050", "localhost.", ""])
def test_a_foreign_name_is_refused(client: httpx.Client, host: str) -> None:
    """A name that somebody pointed at this machine opens nothing."""
    answer = client.get("/ohlc.csv", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.text == f"The host {host!r} is not served here: use one of localhost, 127.0.0.1, [::1].\n"


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_security_headers(client: httpx.Client, path: str) -> None:
    """Refusals included; nothing may be loaded from elsewhere, and data are never kept."""
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "http" not in headers["content-security-policy"]
    assert headers["cache-control"] == ("no-cache" if path in ("/", "/quality") else "no-store")


def test_assets_are_cached_for_ever_under_their_hash(client: httpx.Client) -> None:
    """The page names every asset by an address that changes with its content."""
    html = client.get("/").text
    assets = re.findall(r'(?:src|href)="(/assets/[0-9a-f]{12}/[a-z-]+\.(?:js|css|svg))"', html)
    named = {path.rpartition("/")[2] for path in assets}
    assert named == {"icon.svg", "theme.css", "page.css", "theme.js", "page.js", "lightweight-charts.js"}
    for path in assets:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/favicon.ico", follow_redirects=True).headers["content-type"].startswith("image/svg+xml")


def test_an_asset_is_one_of_the_known_files(client: httpx.Client) -> None:
    """No path leads out of the directory, and an old address leads nowhere."""
    version = re.search(r"/assets/([0-9a-f]{12})/", client.get("/").text)
    assert version
    for path in (
        f"/assets/{version[1]}/..%2fapp.py",
        f"/assets/{version[1]}/page.html",
        "/assets/000000000000/page.js",
    ):
        assert client.get(path).status_code == 404


def test_the_licence_of_the_charting_library_is_honoured(client: httpx.Client) -> None:
    """The notice that ships with it and a link to its maker stand on the page."""
    html = client.get("/").text
    notice = (LIBRARY / "NOTICE").read_text(encoding="utf-8")
    year = re.search(r"Copyright \(.\) (\d{4}) TradingView, Inc\. https://www\.tradingview\.com/", notice)
    assert year
    assert 'href="https://www.tradingview.com/"' in html
    assert f"Copyright (c) {year[1]} TradingView, Inc." in html
    assert "Apache License" in (LIBRARY / "LICENSE").read_text(encoding="utf-8")


def test_the_charting_library_is_the_file_that_its_readme_names() -> None:
    """Unchanged since it was taken from its package, and of that version."""
    readme = (LIBRARY / "README.md").read_text(encoding="utf-8")
    script = (LIBRARY / "lightweight-charts.js").read_bytes()
    version = re.match(r"# TradingView Lightweight Charts (\S+)\n", readme)
    assert version
    assert f"Lightweight Charts™ v{version[1]}\n" in script[:200].decode()
    assert f"sha256 {hashlib.sha256(script).hexdigest()}\n" in readme


def test_only_reading_is_allowed(client: httpx.Client) -> None:
    """HEAD works wherever GET does; everything else is refused."""
    for path in ("/", "/quality", "/healthz", "/symbols", "/watchlist.json", "/services.json"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert client.post(path).status_code == 405
        assert client.delete(path).status_code == 405


def test_serving_does_not_import_pandas() -> None:
    """Packages that checks and calendars use bring it; the server would start a second later and take 80 MB more."""
    program = "import sys; from candleworks.web import server; print('pandas' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
