"""A database that is there but does not work: ticks wait in the spool, and none is lost."""

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate
from candleworks.errors import TerminalError
from candleworks.runtime.database import migrated_or_later
from candleworks.settings import Settings, load_settings
from candleworks.simulate import running_simulator
from tests.feed.failing_database import accept_ticks, refuse_ticks, set_read_only
from tests.feed.streaming import count, counted, price, read_journal, rejected, stored, streaming, trades_of, until
from tests.feed.vendor import Vendor

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
SYMBOLS = ("AAPL", "MSFT", "BTC/USD")
NOW = int(time.time())


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Settings]:
    """A server whose settings a test may change."""
    with EmbeddedServer(tmp_path / "home").use() as dsn:
        settings = load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home")})
        migrate(dsn, settings)
        yield settings


def set_server_read_only(settings: Settings, value: str) -> None:
    assert settings.dsn
    with connect(settings.dsn.get_secret_value()) as admin:
        set_read_only(admin, value)


def test_a_read_only_database_loses_and_doubles_nothing(
    own_server: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ticks are spooled, and stored when it accepts changes again."""
    journal = tmp_path / "journal"
    assert own_server.dsn
    with (
        running_simulator(rate=500, symbols=SYMBOLS, journal=journal) as simulator,
        streaming(own_server, simulator.feed_url, *SYMBOLS),
        connect(own_server.dsn.get_secret_value()) as connection,
    ):
        until(lambda: count(connection) > 200)
        set_server_read_only(own_server, "on")
        until(lambda: "accepts no changes (cannot execute" in caplog.text)
        before = len(read_journal(journal))
        until(lambda: len(read_journal(journal)) > before + 500)
        assert list((own_server.home / "spool").rglob("*.spool"))
        set_server_read_only(own_server, "off")
        missed = count(connection)
        until(lambda: count(connection) > missed + 500)
    with connect(own_server.dsn.get_secret_value()) as connection:
        assert stored(connection) == trades_of(read_journal(journal))
        assert counted(connection, "rejected") == 0


def test_a_start_beside_a_read_only_database_streams_and_prepares_it_later(own_server: Settings) -> None:
    """A migration that cannot run now is one that runs later."""
    set_server_read_only(own_server, "on")
    with migrated_or_later(own_server) as (_, prepare):
        assert prepare is not None
        set_server_read_only(own_server, "off")
        prepare()


@pytest.mark.parametrize(
    "sqlstate", ["25006", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P03", "58030"]
)
def test_ticks_wait_for_a_database_that_cannot_store_them(
    settings: Settings, vendor: Vendor, connection: Connection, caplog: pytest.LogCaptureFixture, sqlstate: str
) -> None:
    """Its disk is full, its memory is used up, or it is about to stop: the feed goes on."""
    refuse_ticks(connection, sqlstate)
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW, 1.0), price(NOW, 2.0))
        until(lambda: "waiting for the database" in caplog.text)
        vendor.send(price(NOW, 3.0))
        accept_ticks(connection)
        until(lambda: count(connection) == 3)
    assert rejected(connection) == []


@on_one_engine
def test_an_error_that_a_person_must_correct_ends_the_feed_with_its_ticks_on_disk(
    settings: Settings, vendor: Vendor, connection: Connection
) -> None:
    """Somebody renamed a table: it is one sentence, and the next start stores what came."""
    with streaming(settings, vendor.url, "AAPL") as running:
        until(lambda: vendor.received)
        connection.execute("ALTER TABLE candleworks.feed_marks RENAME TO gone")
        vendor.send(price(NOW))
        with pytest.raises(
            TerminalError, match=r'returned an error \(relation "candleworks.feed_marks" does not exist'
        ):
            running.wait()
    connection.execute("ALTER TABLE candleworks.gone RENAME TO feed_marks")
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: count(connection) == 1)


def unrecorded(settings: Settings) -> list[dict[str, str]]:
    """What the database refused to record."""
    path = settings.home / "spool" / "twelvedata" / "unrecorded.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_rejected_tick_that_cannot_be_recorded_is_kept_in_a_file(
    settings: Settings, vendor: Vendor, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither it nor a tick that the database refuses ends the feed, and the others beside them are stored."""
    connection.execute("ALTER TABLE rejected_ticks ADD CHECK (payload NOT LIKE '%MUST NOT%')")
    connection.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT mine CHECK (price <> 13)")
    connection.execute("CREATE FUNCTION unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'unlucky'; END $$")
    connection.execute(
        "CREATE TRIGGER unlucky BEFORE INSERT ON rejected_ticks FOR EACH ROW WHEN (NEW.payload LIKE '%13.0%')"
        " EXECUTE FUNCTION unlucky()"
    )
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(b"nonsense", price(NOW, 1.0), b"MUST NOT", price(NOW, 13.0), price(NOW, 2.0))
        until(lambda: count(connection) == 2)
        vendor.send(price(NOW, 3.0))
        until(lambda: count(connection) == 3)
    assert [payload for _, payload in rejected(connection)] == ["nonsense"]
    kept = {entry["payload"]: entry["refused"] for entry in unrecorded(settings)}
    assert set(kept) == {"MUST NOT", price(NOW, 13.0).decode()}
    assert "violates check constraint" in kept["MUST NOT"]
    assert kept[price(NOW, 13.0).decode()] == "the database refused it: unlucky"
    assert counted(connection, "rejected") == 3
    assert "a rejected tick or a gap cannot be recorded" in caplog.text


@on_one_engine
def test_a_gap_that_cannot_be_recorded_is_kept_in_a_file(
    settings: Settings, vendor: Vendor, connection: Connection
) -> None:
    """The ticks around it are stored, and so are those of the next start."""
    connection.execute("ALTER TABLE feed_stops ADD CHECK (reason <> 'its process ended')")
    for number in (1, 2):
        with streaming(settings, vendor.url, "AAPL"):
            until(lambda number=number: len(vendor.received) == number)
            vendor.send(price(NOW, float(number)))
            until(lambda number=number: count(connection) == number)
    assert [entry["gap"] for entry in unrecorded(settings)] == ["stopped", "stopped"]
    assert not list((settings.home / "spool").rglob("*.spool"))
