"""`candleworks up` as a process of its own, looked at from outside."""

import contextlib
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.settings import DEFAULT_SYMBOLS
from tests.cli.commands import started
from tests.feed.streaming import until

STOP_SECONDS = 5  # what a stop may take
PATIENCE_SECONDS = 60  # what a start may take on a busy machine


@dataclass
class Platform:
    """A running `up`; `output` is what it has printed so far."""

    process: subprocess.Popen[str]
    home: Path
    port: int
    prefect_port: int
    output: str = ""
    _readers: list[threading.Thread] = field(default_factory=list)

    def prefect(self, path: str, **body: object) -> Any:
        """Send a POST to Prefect's API, with the password of the home, and return the JSON of the answer."""
        user, _, password = (self.home / "prefect" / "password").read_text().partition(":")
        answer = httpx.post(
            f"http://127.0.0.1:{self.prefect_port}/api{path}", json=body, auth=(user, password), timeout=60
        )
        assert answer.is_success, answer.text
        return answer.json()

    def read(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            reader = threading.Thread(target=self._read, args=[stream], daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.output += line

    def candles(self, symbol: str, period: str) -> list[dict[str, Any]]:
        """What the page shows; nothing while it does not answer or does not know the symbol."""
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.port}/ohlc.json", params={"symbol": symbol, "period": period}, timeout=30
            )
        except httpx.TransportError:
            return []
        candles: list[dict[str, Any]] = answer.json()["candles"] if answer.status_code == httpx.codes.OK else []
        return candles

    def ticks(self, symbol: str) -> int:
        """How many ticks are in the candles of the last days."""
        return sum(candle["ticks"] for candle in self.candles(symbol, "1d"))

    def flows(self, symbol: str = "BTC/USD") -> None:
        """Wait until new ticks of a symbol can be seen on the page."""
        before = self.ticks(symbol)
        until(lambda: self.ticks(symbol) > before or self.process.poll() is not None, PATIENCE_SECONDS)
        assert self.process.poll() is None, self.output

    def child(self, command: str) -> psutil.Process:
        """The one child that runs this command."""
        found = [child for child in psutil.Process(self.process.pid).children() if command in child.cmdline()]
        assert len(found) == 1, found
        return found[0]

    def stop(self, number: int) -> float:
        """Send a signal and return how many seconds the end took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.wait()
        return time.monotonic() - began

    def wait(self) -> int:
        """Wait for the end by itself; the exit status."""
        status = self.process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return status


def free_port() -> int:
    """A port that is free, and below those that the system gives to connections: `up` uses it seconds later."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def platform(
    directory: Path, *arguments: str, user: str | None = None, prefect: bool = False, **variables: object
) -> Iterator[Platform]:
    """Run `up` for the length of a `with` block, on ports of its own and at home in `directory`.

    Without a configuration of the test's own no history is loaded: 30 days of it take 40 s of a processor.
    """
    configuration = directory / "candleworks.yaml"
    if not configuration.exists():
        feed = {"name": "twelvedata", "symbols": list(DEFAULT_SYMBOLS), "backfill_days": 0}
        configuration.write_text(yaml.safe_dump({"feeds": [feed]}))
    port, prefect_port = free_port(), free_port()
    settings = {"CANDLEWORKS_WEB_PORT": port, "CANDLEWORKS_PREFECT_PORT": prefect_port} | variables
    options = [] if prefect else ["--no-prefect"]
    with started("up", *options, *arguments, directory=directory, user=user, **settings) as process:
        running = Platform(process, directory / "home", port, prefect_port)
        running.read()
        try:
            yield running
        finally:
            if process.poll() is None:
                running.stop(15)
            end(running.home)


def processes_of(home: Path) -> list[str]:
    """Every process that has to do with a home: our commands and the server's, whoever owns them."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = str(home) in " ".join(process.cmdline()) or process.environ().get("CANDLEWORKS_HOME") == str(home)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def end(home: Path) -> None:
    """Leave nothing running, even when a test has failed."""
    for text in processes_of(home):
        try:
            psutil.Process(int(text.split()[0])).kill()
        except psutil.NoSuchProcess:
            continue


@contextmanager
def database_of(home: Path) -> Iterator[Connection]:
    """A look at what a stopped platform has stored."""
    with EmbeddedServer(home).use() as dsn, connect(dsn) as connection:
        yield connection
