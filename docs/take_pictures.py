"""Takes the pictures in docs/pictures from the running product: `.venv/bin/python -m docs.take_pictures`.

Needs Chromium, and an installed Grafana (CANDLEWORKS_GRAFANA_HOME, or on PATH) for the pictures of its dashboards.
The simulated feed and its history are those of a first start. One limit of the checks is set so low that an alert
fires: its message, as it arrives by mail, is one of the pictures.
"""

import contextlib
import html
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx

from candleworks.runtime.grafana import find_grafana
from candleworks.settings import load_settings
from tests.acceptance.platform import free_port
from tests.alerts.receivers import Mail
from tests.web.browser import Browser, Page, chromium, until

PICTURES = Path(__file__).parent / "pictures"
SYMBOL = "BTC/USD"
SIZE = (1280, 720)
MAIL_SIZE = (640, 360)
DASHBOARDS = {"market": 900, "quotes": 900, "health": 1100, "quality": 1000, "storage": 900, "overview": 800}
PATIENCE_SECONDS = 300
DRAWN_SECONDS = 8  # Prefect's and Grafana's pages say nowhere that they are drawn
CONFIGURATION = f"""
feeds: [{{name: twelvedata, symbols: [AAPL, MSFT, {SYMBOL}, ETH/USD, EUR/USD]}}]
quality: {{ticks: {{symbols: {{{SYMBOL}: {{jump_percent: 0.5}}}}}}}}
alerts: {{page_url: "https://candles.example"}}
"""
PREFECT_SIGN_IN = ("pictures", "taken")
MAIL = """
<body style="margin: 24px; font: 15px/1.5 sans-serif; color: #222; background: #fff">
<p style="margin: 0; color: #666">From: {sender}<br>To: {to}</p><h1 style="font-size: 20px">{subject}</h1>{text}</body>
"""


def main() -> None:
    """Start everything on a fresh home, wait until the history is there, and take each picture."""
    program = chromium()
    if program is None:
        sys.exit("Pictures need Chromium: install it, for example Debian's package chromium.")
    ports = {name: free_port() for name in ("WEB", "PREFECT", "GRAFANA")}
    with (
        Mail().listening() as mail,
        running(ports, mail.url) as environment,
        Browser(program) as browser,
        browser.page(*SIZE) as page,
    ):
        page.prefer("dark")
        prefect_run(page, f"http://127.0.0.1:{ports['PREFECT']}")
        chart(page, f"http://127.0.0.1:{ports['WEB']}")
        subprocess.run([sys.executable, "-m", "candleworks", "check"], env=environment, check=False)
        alert(page, mail)
        if find_grafana(load_settings()):
            dashboards(page, f"http://127.0.0.1:{ports['GRAFANA']}")


@contextmanager
def running(ports: dict[str, int], recipient: str) -> Iterator[dict[str, str]]:
    """Run `candleworks up` on a fresh home and these ports until the context ends; yield its environment."""
    variables = {f"CANDLEWORKS_{name}_PORT": str(port) for name, port in ports.items()}
    with tempfile.TemporaryDirectory(prefix="candleworks") as home:
        configuration = Path(home) / "candleworks.yaml"
        configuration.write_text(CONFIGURATION)
        variables |= {"CANDLEWORKS_HOME": home, "CANDLEWORKS_CONFIG": str(configuration)}
        variables |= {"PREFECT_SERVER_API_AUTH_STRING": ":".join(PREFECT_SIGN_IN)}
        environment = {**os.environ, **variables, "CANDLEWORKS_ALERT_URLS": recipient}
        process = subprocess.Popen([sys.executable, "-m", "candleworks", "up"], env=environment)
        try:
            yield environment
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
            for found in prefect.post("/flow_runs/filter", json=running).json():
                logs = {"logs": {"flow_run_id": {"any_": [found["id"]]}}}
                if "ticks/s" in prefect.post("/logs/filter", json=logs).text:
                    return str(found["id"])
        return None

    with httpx.Client(base_url=f"{address}/api", auth=PREFECT_SIGN_IN) as prefect:
        found = until(run, PATIENCE_SECONDS, "a run")
    page.goto(f"{address}/#{':'.join(PREFECT_SIGN_IN)}")
    page.wait_for("location.pathname === '/dashboard'")
    page.goto(f"{address}/runs/flow-run/{found}")
    take(page, "prefect")


def alert(page: Page, mail: Mail) -> None:
    """Take the first message about an alert, as a mail program shows it."""
    until(lambda: mail.mails, PATIENCE_SECONDS, "a message about an alert")
    received = mail.mails[0]
    body = received.get_body(("html", "plain"))
    text = body.get_content() if body else ""
    if body and body.get_content_subtype() == "plain":
        text = f"<div style='white-space: pre-wrap'>{html.escape(text)}</div>"
    shown = MAIL.format(sender=received["From"], to=received["To"], subject=html.escape(received["Subject"]), text=text)
    page.resize(*MAIL_SIZE)
    page.goto(f"data:text/html;charset=utf-8,{quote(shown)}")
    take(page, "alert")


def dashboards(page: Page, address: str) -> None:
    """Take each dashboard as it opens, tall enough for its most important panels."""

    def up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{address}/api/health").is_success
        return False

    until(up, PATIENCE_SECONDS, "Grafana")
    for name, height in DASHBOARDS.items():
        page.resize(SIZE[0], height)
        page.goto(f"{address}/d/candleworks-{name}?var-symbol={SYMBOL}&kiosk")
        take(page, name)


def take(page: Page, name: str) -> None:
    time.sleep(DRAWN_SECONDS)
    page.screenshot(PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
