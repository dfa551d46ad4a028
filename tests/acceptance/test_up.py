"""The whole platform, started by one command."""

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from candleworks.settings import DEFAULT_SYMBOLS
from candleworks.simulate import running_simulator
from tests.acceptance.platform import (
    PATIENCE_SECONDS,
    STOP_SECONDS,
    Platform,
    database_of,
    platform,
    processes_of,
)
from tests.cli.commands import candleworks
from tests.feed.streaming import read_journal, stored, trades_of, until

_running: list[Platform] = []
LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")


@pytest.fixture(scope="module")
def berths() -> Iterator[ExitStack]:
    """What ends when this file's tests are done."""
    with ExitStack() as berths:
        yield berths


@pytest.fixture
def running(berths: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A platform with data: the one of the test before, if that has left it alive."""
    if not _running or _running[-1].process.poll() is not None:
        _running.append(berths.enter_context(platform(tmp_path_factory.mktemp("up"))))
        _running[-1].flows()
    return _running[-1]


def test_it_says_where_everything_is(running: Platform) -> None:
    """As plain lines, because the output is no terminal; then what happens, every ten seconds."""
    until(lambda: "ticks stored" in running.output)
    starting, applied, *lines = running.output.splitlines()
    assert starting == f"Starting PostgreSQL in {running.home}."
    assert re.match(r"Applied \d+ migrations to candleworks on ", applied)
    assert lines[:6] == [
        f"Database    candleworks on {running.home}/postgres:5432",
        f'            psql "$({sys.executable} -m candleworks dsn)"',
        "Feed        simulated (set TWELVEDATA_API_KEY for live data)",
        "            Prices are made up; the simulated market never closes.",
        f"Logs        {running.home}/logs   Ctrl-C stops everything.",
        f"Open http://127.0.0.1:{running.port}/",
    ]
    assert re.fullmatch(
        r"twelvedata: [\d.,]+ ticks/s, last [A-Z/]+ [\d.]+ at \d\d:\d\d:\d\d, lag p50 (\d+ ms|-) p99 (\d+ ms|-)",
        lines[6],
    )
    assert re.fullmatch(r"[\d,]+ ticks stored, 0 rejected; [\d,]+ candles refreshed in the last minute", lines[7])
    assert "\x1b" not in running.output


def test_candles_of_every_symbol_form_at_every_level(running: Platform) -> None:
    """The one that forms is there, its ticks are those of the levels below, and it grows."""
    until(lambda: all(running.candles(symbol, "1m") for symbol in DEFAULT_SYMBOLS), PATIENCE_SECONDS)
    for symbol in DEFAULT_SYMBOLS:
        for level in LEVELS:
            candle = running.candles(symbol, level)[-1]
            assert candle["low"] <= min(candle["open"], candle["close"])
            assert candle["high"] >= max(candle["open"], candle["close"])
            assert candle["ticks"] > 0
    running.flows()


def test_the_page_and_its_health_are_there(running: Platform) -> None:
    """On loopback, at the port that was asked for."""
    page = httpx.get(f"http://127.0.0.1:{running.port}/", timeout=30)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert httpx.get(f"http://127.0.0.1:{running.port}/healthz", timeout=30).json()["status"] == "ok"


def test_a_second_one_in_the_same_home_is_refused(running: Platform) -> None:
    """With status 2 and the process that is up."""
    sentence = (
        f"candleworks is already running in {running.home} (process {running.process.pid}):"
        " stop it first, or set CANDLEWORKS_HOME to another directory.\n"
    )
    assert candleworks("up", "--no-prefect", directory=running.home.parent) == (2, "", sentence)


def test_other_commands_share_its_server(running: Platform) -> None:
    """They neither start another one nor stop it when they end."""
    ended = candleworks("status", "--json", directory=running.home.parent)
    assert (ended.status, ended.errors) == (0, "")
    running.flows()


@pytest.mark.parametrize(
    ("command", "name"), [("ingest", "ingest of twelvedata"), ("simulate", "simulated feed"), ("serve", "chart page")]
)
def test_a_part_that_was_killed_is_started_again(running: Platform, command: str, name: str) -> None:
    """The platform says so, and candles go on."""
    killed = running.child(command)
    killed.kill()
    until(lambda: f"The {name} was killed by signal 9 and was restarted.\n" in running.output, PATIENCE_SECONDS)
    running.flows()
    assert running.child(command).pid != killed.pid


def test_a_part_that_a_person_ended_is_started_again_alone(running: Platform) -> None:
    """Whichever it is, none takes another along."""
    parts = {"watch": "alert watch", "simulate": "simulated feed", "serve": "chart page"}
    others = running.child("ingest").pid
    for command in parts:
        running.child(command).terminate()
    for name in parts.values():
        until(lambda name=name: f"The {name} exited and was restarted.\n" in running.output, PATIENCE_SECONDS)
    running.flows()
    assert running.child("ingest").pid == others


def test_a_database_that_was_killed_is_started_again(running: Platform) -> None:
    """All of it at once, as when memory runs out; ticks wait on disk for it."""
    postmaster = psutil.Process(int((running.home / "postgres" / "postmaster.pid").read_text().split()[0]))
    for process in (postmaster, *postmaster.children()):
        process.kill()
    until(lambda: "The database server died and was restarted.\n" in running.output, PATIENCE_SECONDS)
    running.flows()
    logs = "".join(path.read_text() for path in (running.home / "logs").iterdir())
    assert "Traceback" not in logs


def test_when_it_is_killed_the_others_end_by_themselves(running: Platform) -> None:
    """Children and server; what they had is stored, and can be started again."""
    running.process.kill()
    until(lambda: processes_of(running.home) == [], PATIENCE_SECONDS)
    with database_of(running.home) as connection:
        assert stored(connection)
        assert connection.execute("SELECT FROM feed_stops WHERE deliberate").fetchall() == []


def test_a_signal_stops_everything_and_the_next_one_continues(tmp_path: Path) -> None:
    """Within five seconds, with status 0 and without a process left; every tick that was sent is stored once.

    The next one ends by itself after its duration. (Ctrl-C is tried in a terminal.)
    """
    journal = tmp_path / "journal"
    with running_simulator(rate=500, journal=journal) as simulator:
        with platform(tmp_path, CANDLEWORKS_FEED_URL=simulator.feed_url) as up:
            up.flows()
            assert len(processes_of(up.home)) > 3
            assert up.stop(signal.SIGTERM) < STOP_SECONDS
            assert (up.process.returncode, processes_of(up.home)) == (0, [])
        assert f"Feed        {simulator.feed_url}\n" in up.output
        logs = "".join(path.read_text() for path in (up.home / "logs").iterdir())
        assert "Feed twelvedata streams 7 of 7 symbols." in logs
        assert "Traceback" not in logs
        assert "Fatal" not in logs
        with platform(tmp_path, "--duration", "6", CANDLEWORKS_FEED_URL=simulator.feed_url) as up:
            assert (up.wait(), processes_of(up.home)) == (0, [])
        assert re.search(
            r"\n[\d,]+ ticks stored, 0 rejected; [\d,]+ candles refreshed in the last minute\n$", up.output
        )
        assert simulator.stats()["accepted_connections"] == 2
    with database_of(tmp_path / "home") as connection:
        assert stored(connection) == trades_of(read_journal(journal))
        stops = "SELECT feed, reason LIKE 'candleworks up was stopped on %', deliberate FROM feed_stops"
        assert connection.execute(stops).fetchall() == [("twelvedata", True, True)]
