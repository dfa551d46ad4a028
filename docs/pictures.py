"""Takes the README's pictures from the running product: `.venv/bin/python -m docs.pictures`.

Needs Chromium, and an installed Grafana (CANDLEWORKS_GRAFANA_HOME, or on PATH) for the picture of its dashboard. The
simulated feed and its history are those of a first start; nothing is arranged.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from candleworks.runtime.grafana import find_grafana
from candleworks.settings import load_settings
from tests.acceptance.platform import free_port
from tests.web.browser import Browser, Page, chromium, until

IMAGES = Path(__file__).parent / "images"
SYMBOL = "BTC/USD"
SIZE = (1280, 720)
PATIENCE_SECONDS = 180
DRAWN_SECONDS = 6  # Prefect's and Grafana's pages say nowhere that they are drawn


def main() -> None:
    """Start everything on a fresh home, wait until the history is there, and take each picture."""
    program = chromium()
    if program is None:
        sys.exit("Pictures need Chromium: install it, for example Debian's package chromium.")
    ports = {name: free_port() for name in ("WEB", "PREFECT", "GRAFANA")}
    with running(ports), Browser(program) as browser, browser.page(*SIZE) as page:
        page.prefer("dark")
        prefect_run(page, f"http://127.0.0.1:{ports['PREFECT']}")
        if find_grafana(load_settings()):
            dashboard(page, f"http://127.0.0.1:{ports['GRAFANA']}")
        chart(page, f"http://127.0.0.1:{ports['WEB']}")


@contextmanager
def running(ports: dict[str, int]) -> Iterator[None]:
    """Run `candleworks up` on a fresh home and these ports until the context ends."""
    variables = {f"CANDLEWORKS_{name}_PORT": str(port) for name, port in ports.items()}
    with tempfile.TemporaryDirectory(prefix="candleworks") as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "candleworks", "up"], env={**os.environ, **variables, "CANDLEWORKS_HOME": home}
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def chart(page: Page, address: str) -> None:
    """Take the chart once a day of history is there."""

    def full() -> bool:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"{address}/ohlc.json", params={"symbol": SYMBOL, "period": "5m", "limit": 300})
            return answer.is_success and len(answer.json()["candles"]) == 300
        return False

    until(full, PATIENCE_SECONDS, "a day of history")
    page.goto(f"{address}/?symbol={SYMBOL}&period=5m")
    take(page, "chart")


def prefect_run(page: Page, address: str) -> None:
    """Take the page of the run that streams, once it has reported."""

    def run() -> str | None:
        with contextlib.suppress(httpx.TransportError):
            running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}, "name": {"like_": "stream"}}}
            for found in httpx.post(f"{address}/api/flow_runs/filter", json=running).json():
                logs = {"logs": {"flow_run_id": {"any_": [found["id"]]}}}
                if "ticks/s" in httpx.post(f"{address}/api/logs/filter", json=logs).text:
                    return str(found["id"])
        return None

    page.goto(f"{address}/runs/flow-run/{until(run, PATIENCE_SECONDS, 'a run')}")
    take(page, "prefect")


def dashboard(page: Page, address: str) -> None:
    """Take the market dashboard."""

    def up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{address}/api/health").is_success
        return False

    until(up, PATIENCE_SECONDS, "Grafana")
    page.goto(f"{address}/d/candleworks-market?var-symbol={SYMBOL}&from=now-6h&to=now&kiosk")
    take(page, "grafana")


def take(page: Page, name: str) -> None:
    time.sleep(DRAWN_SECONDS)
    page.screenshot(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
