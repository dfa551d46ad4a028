"""From the batch to the committed row, whatever happens to the database and to us."""

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate
from candleworks.errors import TransientError
from candleworks.feed import service, stats
from candleworks.feed.batcher import FlushInterval
from candleworks.feed.queue import FeedQueue
from candleworks.imports.importer import import_file
from candleworks.settings import Settings, load_settings
from candleworks.simulate import running_simulator
from tests.cli.commands import ended, started
from tests.feed.streaming import (
    Sent,
    count,
    counted,
    price,
    read_journal,
    stored,
    streaming,
    trades_of,
    until,
)
from tests.feed.vendor import Vendor

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
SYMBOLS = ("AAPL", "MSFT", "BTC/USD", "EUR/USD")
STOP_SECONDS = 5  # what a stop may take
NOW = int(time.time())


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Settings]]:
    """A server that a test may stop and start."""
    server = EmbeddedServer(tmp_path / "home")
    with server.use() as dsn:
        settings = load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home")})
        migrate(dsn, settings)
        yield server, settings
        server.revive()


@on_one_engine
def test_batches_are_written_by_size(
    settings: Settings, vendor: Vendor, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full ones at once; what is left waits for its age, here ten seconds, or for the stop."""
    monkeypatch.setattr(FlushInterval, "seconds", 10.0)  # however fast commits are
    with streaming(settings, vendor.url, "AAPL", max_batch_rows=500, flush_interval_ms=10_000):
        until(lambda: vendor.received)
        vendor.send(*(price(NOW, 1.0 + number) for number in range(1_200)))
        until(lambda: count(connection) == 1_000)
    assert count(connection) == 1_200
    assert (counted(connection, "batches"), counted(connection, "ticks")) == (3, 1_200)


@on_one_engine
def test_batches_are_written_by_age(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """A single tick does not wait for others."""
    with streaming(settings, vendor.url, "AAPL", max_batch_rows=500, flush_interval_ms=20):
        until(lambda: vendor.received)
        for number in (1, 2, 3):
            vendor.send(price(NOW, 1.0 + number))
            until(lambda number=number: count(connection) == number)
        until(lambda: counted(connection, "batches") == 3)


@on_one_engine
def test_statistics_read_the_queue_on_its_event_loop(
    settings: Settings, vendor: Vendor, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread would fail now and then, when an entry is added or removed while it looks for the oldest tick."""
    readers: set[str] = set()

    def oldest_us(_: FeedQueue) -> None:
        readers.add(threading.current_thread().name)

    monkeypatch.setattr(FeedQueue, "oldest_us", property(oldest_us))
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: counted(connection, "batches") == 0 and readers)
    assert readers == {"ingest"}


def test_a_fast_stream_is_stored_to_the_last_tick(settings: Settings, connection: Connection, journal: Path) -> None:
    """Everything that the vendor sent before it agreed to the end is committed when the stop returns."""
    with (
        running_simulator(rate=3_000, symbols=SYMBOLS, journal=journal) as simulator,
        streaming(settings, simulator.feed_url, *SYMBOLS),
    ):
        until(lambda: count(connection) > 4_000)
    assert stored(connection) == trades_of(read_journal(journal))


@on_one_engine
def test_a_stop_leaves_nothing_unread(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """What the vendor sends until it answers the closing handshake is stored, however fast it is."""
    sent = 0

    def send_without_pause() -> None:
        nonlocal sent
        while vendor.send(price(NOW, 1.0 + sent)):
            sent += 1

    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        sender = threading.Thread(target=send_without_pause)
        sender.start()
        until(lambda: count(connection) > 1_000)
    sender.join()
    assert count(connection) == sent


def csv_of(sent: list[Sent]) -> str:
    lines = [
        f"{datetime.fromtimestamp(trade.event_time, UTC):%Y-%m-%d %H:%M:%S+00},{trade.symbol},{trade.price!r},"
        f"{'' if trade.day_volume is None else trade.day_volume}\n"
        for trade in trades_of(sent).elements()
    ]
    return "time,symbol,price,day_volume\n" + "".join(lines)


def test_an_import_of_the_same_ticks_beside_the_stream_doubles_nothing(
    settings: Settings, connection: Connection, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two stores a tick first."""
    monkeypatch.setattr(FlushInterval, "seconds", 2.0)  # or the stream would always be first
    with (
        running_simulator(rate=1_000, symbols=SYMBOLS, journal=journal) as simulator,
        streaming(settings, simulator.feed_url, *SYMBOLS, flush_interval_ms=2_000),
    ):
        for number in range(3):
            before = count(connection)
            until(lambda before=before: count(connection) > before)
            path = tmp_path / f"{number}.csv"
            path.write_text(csv_of(read_journal(journal)))
            import_file(connection, settings, path)
    assert stored(connection) == trades_of(read_journal(journal))
    origins = dict(connection.execute("SELECT origin, count(*) FROM stocks_real_time GROUP BY origin").fetchall())
    assert set(origins) == {"file", "twelvedata"}


@on_one_engine
@pytest.mark.usefixtures("patient_stop")
def test_a_lost_database_connection_loses_and_doubles_nothing(
    settings: Settings, connection: Connection, journal: Path
) -> None:
    """Also when it breaks between a commit and its acknowledgement."""
    moments = random.Random(7)

    def cut_off() -> bool:
        return bool(
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'candleworks ingest twelvedata'"
            ).fetchall()
        )

    with (
        running_simulator(rate=2_000, symbols=SYMBOLS, journal=journal) as simulator,
        streaming(settings, simulator.feed_url, *SYMBOLS, flush_interval_ms=1, max_batch_rows=50),
    ):
        until(lambda: count(connection) > 100)
        for _ in range(12):
            until(cut_off)
            time.sleep(moments.uniform(0, 0.1))
    assert stored(connection) == trades_of(read_journal(journal))


@pytest.mark.usefixtures("patient_stop")
def test_a_restart_of_the_database_loses_and_doubles_nothing(
    own_server: tuple[EmbeddedServer, Settings], journal: Path
) -> None:
    """What came while it was away is stored when it is back."""
    server, settings = own_server
    with (
        running_simulator(rate=1_000, symbols=SYMBOLS, journal=journal) as simulator,
        streaming(settings, simulator.feed_url, *SYMBOLS),
    ):
        for _ in range(2):
            with connect(server.dsn) as connection:
                stored_before = count(connection)
                until(lambda connection=connection, before=stored_before: count(connection) > before + 200)
            sent_before = len(read_journal(journal))
            server.stop()
            until(lambda before=sent_before: len(read_journal(journal)) > before + 500)
            server.revive()
    with connect(server.dsn) as connection:
        assert stored(connection) == trades_of(read_journal(journal))
        assert counted(connection, "ticks") + counted(connection, "duplicates") == count(connection)
        assert counted(connection, "rejected") == 0


def test_statistics_of_an_outage_are_stored_after_it(
    own_server: tuple[EmbeddedServer, Settings], vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every window has its row, with the ticks that waited then, as if the database had been there."""
    window = timedelta(seconds=4)
    monkeypatch.setattr(stats, "WINDOW", window)
    server, settings = own_server
    rows = "SELECT at, spool_depth FROM ingest_stats ORDER BY at"
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        server.stop()
        away_from = datetime.now(UTC)
        vendor.send(price(NOW))
        time.sleep(14)
        back_at = datetime.now(UTC)
        server.revive()
        with connect(server.dsn) as connection:
            until(lambda: connection.execute(f"SELECT max(at) > %s FROM ({rows}) r", [back_at]).fetchone() == (True,))
            found = connection.execute(rows).fetchall()
    assert {after - before for (before, _), (after, _) in pairwise(found)} == {window}
    during = [depth for at, depth in found if away_from < at < back_at - window]
    assert len(during) >= 2
    assert set(during) == {1}


def test_a_stop_does_not_wait_for_a_database_that_is_away(
    own_server: tuple[EmbeddedServer, Settings], vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends within the seconds that a stop may take, and leaves on disk what the next start stores."""
    server, settings = own_server
    with streaming(settings, vendor.url, "AAPL") as running:
        until(lambda: vendor.received)
        server.stop()
        vendor.send(price(NOW))
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < STOP_SECONDS
    assert f"Feed twelvedata: 1 tick kept in {settings.home}/spool/twelvedata for the next start." in caplog.messages
    server.revive()
    with connect(server.dsn) as connection, streaming(settings, vendor.url, "AAPL"):
        until(lambda: count(connection) == 1)
    assert not list((settings.home / "spool").rglob("*.spool"))


def test_a_start_without_a_database_can_be_stopped(
    own_server: tuple[EmbeddedServer, Settings], vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the database until then."""
    monkeypatch.setattr(service, "GIVE_UP_SECONDS", 0.1)
    server, settings = own_server
    server.stop()
    with streaming(settings, vendor.url, "AAPL") as running, pytest.raises(TransientError, match="cannot be reached"):
        running.stop()
    assert vendor.paths == []


@on_one_engine
def test_a_signal_ends_the_process_with_everything_stored(
    dsn: str, connection: Connection, journal: Path, tmp_path: Path
) -> None:
    """SIGTERM at 2,000 ticks/s: status 0 within five seconds, and not one tick is missing."""
    variables = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_CONFIG": configuration(tmp_path)}
    with (
        running_simulator(rate=2_000, symbols=SYMBOLS, journal=journal) as simulator,
        started("ingest", directory=tmp_path, CANDLEWORKS_FEED_URL=simulator.feed_url, **variables) as process,
    ):
        until(lambda: count(connection) > 2_000)
        process.send_signal(signal.SIGTERM)
        assert ended(process, STOP_SECONDS).status == 0
    assert stored(connection) == trades_of(read_journal(journal))


@on_one_engine
def test_a_killed_process_goes_on_where_the_table_ends(
    dsn: str, connection: Connection, journal: Path, tmp_path: Path
) -> None:
    """SIGKILL at five moments: nothing is doubled, and ordinals stay dense."""
    moments = random.Random(11)
    variables = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_CONFIG": configuration(tmp_path)}
    with running_simulator(rate=500, symbols=SYMBOLS, journal=journal) as simulator:
        for life in range(6):
            with started("ingest", directory=tmp_path, CANDLEWORKS_FEED_URL=simulator.feed_url, **variables) as process:
                streams(process, connection)
                time.sleep(moments.uniform(0, 0.4))
                process.send_signal(signal.SIGTERM if life == 5 else signal.SIGKILL)
                assert ended(process).status == (0 if life == 5 else -signal.SIGKILL)
    sent = read_journal(journal)
    rows = stored(connection)
    assert rows <= trades_of(sent)
    assert trades_of([event for event in sent if event.connection == 6 and not event.snapshot]) <= rows


def streams(process: subprocess.Popen[str], connection: Connection) -> None:
    """Wait until it has stored ticks."""
    before = count(connection)
    until(lambda: count(connection) > before or process.poll() is not None)
    assert process.poll() is None, process.communicate()


def configuration(directory: Path) -> Path:
    path = directory / "symbols.yaml"
    path.write_text(json.dumps({"feeds": [{"symbols": SYMBOLS}]}))
    return path
