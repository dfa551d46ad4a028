"""`candleworks ingest` with a configuration of several feeds, as a process."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.settings import load_settings
from candleworks.simulate import running_simulator
from tests.cli.commands import started
from tests.cli.conftest import Invoke
from tests.feed.streaming import count, read_journal, stored, trades_of, until
from tests.feed.vendor import Vendor

plain = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it


@pytest.fixture
def dsn(dsn: str) -> str:
    """A database that knows its calendars already, which spares each process two seconds of computing them."""
    with connect(dsn, "calendars") as connection:
        sync_calendars(connection, load_settings({}))
    return dsn


class Running:
    """The process, and the lines that it wrote to standard error so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(self.process.stderr)

    def says(self, words: str) -> bool:
        return any(words in line for line in list(self.lines))

    def stop(self) -> int:
        """Interrupt it, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        self.reader.join()
        return status


@contextmanager
def ingesting(directory: Path, dsn: str, *arguments: str, **variables: object) -> Iterator[Running]:
    with started("ingest", *arguments, directory=directory, CANDLEWORKS_DSN=dsn, **variables) as process:
        running = Running(process)
        try:
            yield running
        finally:
            process.kill()
            running.reader.join()


def configure(directory: Path, *feeds: dict[str, Any]) -> None:
    (directory / "candleworks.yaml").write_text(yaml.safe_dump({"feeds": list(feeds)}))


def streamed(connection: Connection) -> set[str]:
    return {symbol for (symbol,) in connection.execute("SELECT DISTINCT symbol FROM stocks_real_time").fetchall()}


@plain
def test_each_feed_has_a_connection_of_its_own(dsn: str, connection: Connection, tmp_path: Path) -> None:
    """A refused key ends its feed alone, with its sentence at once and in the exit status at the end."""
    with running_simulator(rate=100, refused_keys=("s3cret",)) as refusing, running_simulator(rate=100) as willing:
        configure(
            tmp_path,
            {"name": "stocks", "symbols": ["AAPL"], "url": refusing.feed_url},
            {"name": "coins", "symbols": ["BTC/USD"], "url": willing.feed_url},
        )
        with ingesting(tmp_path, dsn, TWELVEDATA_API_KEY="s3cret") as running:
            sentence = f"Feed stocks: {refusing.feed_url} rejected the API key (HTTP 401): correct TWELVEDATA_API_KEY."
            until(lambda: running.says(f"ERROR {sentence} The other feeds keep streaming."))
            before = count(connection)
            until(lambda: count(connection) > before + 50)
            assert running.stop() == 1
    assert running.lines[-1] == f"{sentence}\n"
    assert streamed(connection) == {"BTC/USD"}


@plain
def test_one_feed_can_be_chosen(dsn: str, connection: Connection, tmp_path: Path, invoke: Invoke) -> None:
    """So that others run in other processes, or on other machines; both at once store both."""
    with running_simulator(rate=100) as simulator:
        url = simulator.feed_url
        configure(
            tmp_path,
            {"name": "stocks", "symbols": ["AAPL"], "url": url},
            {"name": "coins", "symbols": ["BTC/USD"], "url": url},
        )
        with ingesting(tmp_path, dsn, "--feed", "coins") as coins:
            until(lambda: count(connection) > 10)
            assert streamed(connection) == {"BTC/USD"}
            with ingesting(tmp_path, dsn, "--feed", "stocks") as stocks:
                until(lambda: streamed(connection) == {"AAPL", "BTC/USD"})
                assert (stocks.stop(), coins.stop()) == (0, 0)
    unknown = invoke("ingest", "--feed", "bonds", CANDLEWORKS_DSN=dsn)
    assert unknown == (2, "", "There is no feed 'bonds' in the configuration: choose one of stocks, coins.\n")


@pytest.fixture
def asked() -> Callable[[Vendor], list[str]]:
    """What a vendor was asked for, without heartbeats."""

    def asked(vendor: Vendor) -> list[str]:
        events = [json.loads(message) for message in vendor.received]
        return [f"{event['action']} {event['params']['symbols']}" for event in events if "params" in event]

    return asked


@plain
def test_a_hangup_signal_reads_the_configuration_again(
    dsn: str, tmp_path: Path, asked: Callable[[Vendor], list[str]]
) -> None:
    """Symbols come and go on the running connections; a file that is broken, or without the feed, changes nothing."""
    with Vendor().listening() as first, Vendor().listening() as second:
        stocks = {"name": "stocks", "symbols": ["AAPL", "MSFT"], "url": first.url}
        coins = {"name": "coins", "symbols": ["BTC/USD"], "url": second.url}
        configure(tmp_path, stocks, coins)
        with ingesting(tmp_path, dsn) as running:
            until(lambda: first.received and second.received)
            (tmp_path / "candleworks.yaml").write_text("feeds: [{symbols: 7}]")
            running.process.send_signal(signal.SIGHUP)
            until(lambda: running.says("is 7, expected a list. The previous configuration stays in use."))
            configure(tmp_path, stocks)
            running.process.send_signal(signal.SIGHUP)
            until(lambda: running.says("'coins' in the configuration: choose one of stocks. The feed keeps its"))
            configure(tmp_path, stocks | {"symbols": ["AAPL", "TSLA"]}, coins | {"symbols": ["BTC/USD", "ETH/USD"]})
            running.process.send_signal(signal.SIGHUP)
            until(lambda: len(asked(first)) == 3 and len(asked(second)) == 2)
            assert running.stop() == 0
        assert asked(first) == ["subscribe AAPL,MSFT", "unsubscribe MSFT", "subscribe TSLA"]
        assert asked(second) == ["subscribe BTC/USD", "subscribe ETH/USD"]
        assert (len(first.paths), len(second.paths)) == (1, 1)


@plain
def test_a_second_ingest_of_the_feed_is_refused(dsn: str, tmp_path: Path, invoke: Invoke) -> None:
    """With one line that names the first, and status 1."""
    with Vendor().listening() as vendor, ingesting(tmp_path, dsn, CANDLEWORKS_FEED_URL=vendor.url) as running:
        until(lambda: vendor.received)
        second = invoke("ingest", CANDLEWORKS_DSN=dsn, CANDLEWORKS_FEED_URL=vendor.url)
        sentence = (
            f"Feed twelvedata is already being streamed (process {running.process.pid} uses"
            f" {tmp_path / 'home' / 'spool' / 'twelvedata'}): stop that one first.\n"
        )
        assert second == (1, "", sentence)
        assert running.stop() == 0


def test_a_database_that_is_away_at_the_start_gets_everything_when_it_comes(tmp_path: Path) -> None:
    """Even one that was never migrated: until then ticks are kept on disk."""
    server, journal = EmbeddedServer(tmp_path / "server"), tmp_path / "journal"
    with server.use() as dsn:
        pass
    symbols = ["AAPL", "BTC/USD"]
    configure(tmp_path, {"symbols": symbols})
    with (
        running_simulator(rate=200, symbols=symbols, journal=journal) as simulator,
        ingesting(tmp_path, dsn, CANDLEWORKS_FEED_URL=simulator.feed_url) as running,
    ):
        until(lambda: running.says(" Ticks are kept on disk until then."))
        until(lambda: sum(path.stat().st_size for path in (tmp_path / "home").rglob("*.spool")) > 50_000)
        with server.use(), connect(dsn, "test") as connection:
            exists = "SELECT to_regclass('stocks_real_time') IS NOT NULL"
            until(lambda: connection.execute(exists).fetchone() == (True,))
            until(lambda: count(connection) > 1_000)
            assert running.stop() == 0
            assert stored(connection) == trades_of(read_journal(journal))
            assert connection.execute("SELECT reason FROM feed_gaps").fetchall() == [("stopped",)]
    assert not list((tmp_path / "home").rglob("*.spool"))
