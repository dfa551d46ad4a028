"""`candleworks replay`: a recorded day through the live path, and what it must never touch."""

import json
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from tests.cli.commands import Ended, ended, started
from tests.cli.conftest import Invoke
from tests.conftest import clone
from tests.feed.streaming import Trade, stored, until

pytestmark = [pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True), pytest.mark.usefixtures("engine")]
REAL = Path(__file__).parents[3] / "shared" / "data" / "stocks_real_time_2022-10-19.csv"
RECORDING = """\
time,symbol,price,day_volume
2026-03-02 15:00:02+00,BTC/USD,91000.5,12.25
2026-03-02 15:00:01+00,AAPL,250.01,120
2026-03-02 15:00:01+00,AAPL,250.01,120
2026-03-02 15:00:01+00,VOD:LSE,0.7,
2026-03-02 14:59:59+00,AAPL,250,100
2026-03-02 14:59:59+00,RY:TSX,140.5,7
"""
TICKS = Counter(
    {
        Trade("AAPL", 1772463599, 250.0, 100): 1,
        Trade("RY:TSX", 1772463599, 140.5, 7): 1,
        Trade("AAPL", 1772463601, 250.01, 120): 2,
        Trade("VOD:LSE", 1772463601, 0.7, None): 1,
        Trade("BTC/USD", 1772463602, 91000.5, 12.25): 1,
    }
)
Replay = Callable[..., Ended]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_text(RECORDING)
    return path


@pytest.fixture
def source(server_dsn: str, template: str) -> Iterator[str]:
    """A database in use; `dsn` is the one that replays go into."""
    with clone(server_dsn, template) as dsn:
        yield dsn


@pytest.fixture
def replay(invoke: Invoke, source: str, dsn: str) -> Replay:
    """Runs the command from `source` into `dsn`."""

    def run(*arguments: str | Path, into: str = dsn) -> Ended:
        return invoke("replay", *map(str, arguments), "--into", into, CANDLEWORKS_DSN=source)

    return run


def counts(ended: Ended) -> dict[str, str]:
    """The summary's lines."""
    return dict(re.findall(r"^(sent|skipped|stored|duplicates|rejected) +(.*?) *$", ended.output, re.MULTILINE))


def keep(dsn: str) -> None:
    """Store the recording, a tick made from a bar, and nothing of them by a replay."""
    with connect(dsn) as connection:
        connection.execute("SELECT candleworks.prepare_ticks('2026-03-02', '2026-03-03')")
        connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, day_volume, bid, ask, origin) VALUES"
            " ('2026-03-02 14:59:59+00', 'AAPL', 250, 100, NULL, NULL, 'file'),"
            " ('2026-03-02 15:00:01+00', 'AAPL', 250.01, 120, NULL, NULL, 'file'),"
            " ('2026-03-02 15:00:01.000001+00', 'AAPL', 250.01, 120, NULL, NULL, 'file'),"
            " ('2026-03-02 15:00:02+00', 'BTC/USD', 91000.5, 12.25, 91000.25, 91001, 'twelvedata'),"
            " ('2026-03-02 15:00:05+00', 'BTC/USD', 1, NULL, NULL, NULL, 'bar')"
        )


def test_a_recording_is_lived_again(replay: Replay, recording: Path, connection: Connection) -> None:
    """Every tick once and in order, with the digits and symbols it was recorded with; candles are there."""
    first = replay(recording, "--speed", "0")
    assert (first.status, first.errors) == (0, "")
    assert "day.csv: 6 ticks of 4 symbols\n" in first.output
    assert "times   2026-03-02 14:59:59 to 2026-03-02 15:00:02 UTC, as recorded" in first.output
    assert counts(first) == {"sent": "6 of 6", "stored": "6", "duplicates": "0", "rejected": "0"}
    assert stored(connection) == TICKS
    quoted = "SELECT count(*) FROM stocks_real_time WHERE bid IS NOT NULL OR ask IS NOT NULL"
    assert connection.execute(quoted).fetchone() == (0,)
    candles = connection.execute("SELECT open, close, ticks FROM candles_1d WHERE symbol = 'AAPL'").fetchall()
    assert candles == [(250.0, 250.01, 3)]


def test_repeating_it_adds_nothing(replay: Replay, recording: Path, connection: Connection) -> None:
    """Ticks with their recorded event times are known; only what is missing is added."""
    part = replay(recording, "--speed", "0", "--symbol", "AAPL", "--from", "2026-03-02T15:00:00")
    assert counts(part) == {"sent": "2 of 2", "stored": "2", "duplicates": "0", "rejected": "0"}
    rest = replay(recording, "--speed", "0")
    assert counts(rest) == {"sent": "4 of 6", "skipped": "2", "stored": "4", "duplicates": "0", "rejected": "0"}
    again = replay(recording, "--speed", "0")
    assert counts(again) == {"sent": "1 of 6", "skipped": "5", "stored": "0", "duplicates": "1", "rejected": "0"}
    assert stored(connection) == TICKS
    kept = connection.execute("SELECT sent, stored, duplicates FROM candleworks.feed_replays ORDER BY id").fetchall()
    assert kept == [(2, 2, 0), (4, 4, 0), (1, 0, 1)]


def test_a_repetition_of_which_all_is_known_sends_nothing(
    replay: Replay, recording: Path, connection: Connection
) -> None:
    """It does not wait for anything either."""
    for expected in ("1 of 1", "0 of 1"):
        done = replay(recording, "--speed", "0", "--symbol", "BTC/USD")
        assert (done.status, counts(done)["sent"]) == (0, expected)
    assert stored(connection).total() == 1


def test_stored_trades_are_a_recording_too(replay: Replay, source: str, connection: Connection) -> None:
    """With bid and ask; ticks made from bars are none. What they are read from stays as it is."""
    keep(source)
    done = replay("--from-db", "--speed", "0", "--to", "2026-03-02", "--feed", "again")
    assert (done.status, done.errors) == (0, "")
    assert counts(done)["sent"] == "4 of 4"
    found = connection.execute("SELECT symbol, price, day_volume, bid, ask FROM stocks_real_time ORDER BY time")
    assert found.fetchall()[-1] == ("BTC/USD", 91000.5, 12.25, 91000.25, 91001.0)
    with connect(source) as untouched:
        assert untouched.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (5,)
        assert untouched.execute("SELECT count(*) FROM ingest_stats").fetchone() == (0,)


def test_a_database_that_holds_more_is_refused(replay: Replay, recording: Path, dsn: str, source: str) -> None:
    """Stored ticks, imported files, or another feed: nothing of it is touched, not even on request."""
    sentence = "contains more than replays: name another one with --into, so that this one is not changed.\n"
    keep(dsn)
    for options in ((), ("--fresh",), ("--shift-times",)):
        refused = replay(recording, "--speed", "0", *options)
        assert (refused.status, refused.output) == (2, "")
        assert refused.errors.endswith(sentence)
    in_use = replay(recording, into=source)
    assert in_use == (2, "", "--into names the database in use, which replays never write to: name another one.\n")


def test_a_live_feed_makes_it_more_than_replays(replay: Replay, recording: Path, connection: Connection) -> None:
    """From then on it is somebody's data."""
    replay(recording, "--speed", "0")
    connection.execute("INSERT INTO ingest_stats VALUES ('crypto', now(), 1, 1, 1, 1, 1, 0, 0, 0, 0, 0)")
    assert replay(recording, "--speed", "0", "--fresh").status == 2


def test_shifted_ticks_end_now(replay: Replay, recording: Path, connection: Connection) -> None:
    """They never stand among those of an earlier replay; --fresh begins anew."""
    done = replay(recording, "--speed", "0", "--shift-times")
    assert counts(done)["stored"] == "6"
    assert "UTC, shifted by " in done.output
    ages = connection.execute("SELECT max(now() - time) < interval '2 minutes' FROM stocks_real_time").fetchone()
    assert ages == (True,)
    connection.execute("UPDATE stocks_real_time SET time = time + interval '1 hour'")
    mixed = replay(recording, "--speed", "0", "--shift-times")
    assert mixed.status == 2
    assert "The shifted replay would begin at " in mixed.errors
    assert mixed.errors.endswith("): give --fresh, or another --into.\n")
    assert counts(replay(recording, "--speed", "0", "--shift-times", "--fresh"))["stored"] == "6"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "A replay needs one source: name a recorded file, or give --from-db.\n"),
        (("day.csv", "--from-db"), "A replay needs one source: name a recorded file, or give --from-db.\n"),
        (("day.csv", "--feed", "No name"), "--feed 'No name' is not a valid feed name, allowed is up to 40"),
        (("day.csv", "--symbol", "NOPE"), "day.csv contains no such ticks: give a CSV with rows below time,symbol,"),
        (("day.csv", "--speed", "-1"), "--speed -1 is out of range: give 1 for real time, 0 for as fast as possible"),
        (("none.csv",), "none.csv cannot be read: No such file or directory; give a recorded file\n"),
        (("--from-db", "--symbol", "NOPE"), "has no such trades: run `candleworks status` to see what it has.\n"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(
    replay: Replay, recording: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    """Before any database is written to."""
    assert recording.exists()
    refused = replay(*arguments)
    assert refused.status in (1, 2)
    assert refused.output == ""
    assert sentence in refused.errors
    assert refused.errors.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_ends_it_cleanly(
    dsn: str, source: str, connection: Connection, tmp_path: Path, number: signal.Signals
) -> None:
    """Status 0, a summary, and what was received is stored; the same command completes it."""
    path = tmp_path / "long.csv"
    lines = [f"2026-03-02 15:{half // 2:02}:{half % 2 * 30:02}+00,AAPL,{half},{half}" for half in range(120)]
    path.write_text("\n".join(["time,symbol,price,day_volume", *lines, ""]))
    arguments = ("replay", str(path), "--into", dsn)
    with started(*arguments, "--speed", "200", directory=tmp_path, CANDLEWORKS_DSN=source) as process:
        until(lambda: stored(connection).total() > 3)
        process.send_signal(number)
        result = ended(process)
    assert (result.status, result.errors) == (0, "")
    assert "of 120 (interrupted)" in result.output
    assert int(counts(result)["stored"]) == stored(connection).total() < 120


def test_the_command_for_the_chart_repeats_no_password(replay: Replay, recording: Path, dsn: str) -> None:
    """It is printed for a connection string without one, in either form of those."""
    printed = replay(recording, "--speed", "0").output
    assert f"chart   CANDLEWORKS_DSN='{dsn}' candleworks serve --port 8051" in printed
    printed = replay(recording, "--speed", "0", "--fresh", into=f"{dsn} password=s3cret").output
    assert "target " in printed
    assert "chart " not in printed
    assert "s3cret" not in printed


def test_by_default_it_goes_into_a_directory_of_its_own(invoke: Invoke, recording: Path, tmp_path: Path) -> None:
    """Beside the database in use; it can be watched with the command that is printed."""
    done = invoke("replay", str(recording), "--speed", "0")
    home = tmp_path / "home" / "replay"
    assert done.status == 0
    assert done.errors.startswith("Applied ")
    assert f"chart   CANDLEWORKS_HOME={home} candleworks serve --port 8051" in done.output
    assert not (tmp_path / "home" / "postgres").exists()
    with EmbeddedServer(home).use() as dsn, connect(dsn) as connection:
        assert stored(connection) == TICKS
    status = json.loads(invoke("status", "--json", CANDLEWORKS_HOME=home).output)
    assert status["feeds"][0]["totals"]["ticks"] == 6


@pytest.mark.skipif(not REAL.exists(), reason=f"the real ticks are not there: put them at {REAL}")
def test_a_real_day_is_lived_again(replay: Replay, connection: Connection) -> None:
    """All 49,999 ticks with the prices and totals of the file, each as often as it stands there."""
    done = replay(REAL, "--speed", "0")
    assert counts(done) == {"sent": "49,999 of 49,999", "stored": "49,999", "duplicates": "0", "rejected": "0"}
    rows = [line.split(",") for line in REAL.read_text().splitlines()[1:]]
    expected = Counter((symbol, float(price), float(total) if total else None) for _, symbol, price, total in rows)
    found = connection.execute("SELECT symbol, price, day_volume FROM stocks_real_time").fetchall()
    assert Counter(found) == expected
