"""`candleworks ingest` as a process."""

import signal
from pathlib import Path

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.simulate import running_simulator
from tests.cli.commands import Ended, candleworks, ended, started
from tests.feed.streaming import count, until

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it


def test_a_refused_key_is_one_line(dsn: str, tmp_path: Path) -> None:
    """Status 1; the key is not in it."""
    with running_simulator(refused_keys=("s3cret",)) as simulator:
        result = candleworks(
            "ingest",
            directory=tmp_path,
            CANDLEWORKS_DSN=dsn,
            CANDLEWORKS_FEED_URL=simulator.feed_url,
            TWELVEDATA_API_KEY="s3cret",
        )
    sentence = f"Feed twelvedata: {simulator.feed_url} rejected the API key (HTTP 401): correct TWELVEDATA_API_KEY.\n"
    assert result == (1, "", sentence)


def test_it_ends_by_itself_after_its_duration(dsn: str, connection: Connection, tmp_path: Path) -> None:
    """With status 0, its log on standard error, and its ticks stored."""
    with running_simulator(rate=100) as simulator:
        result = candleworks(
            "ingest",
            "--duration",
            "1",
            directory=tmp_path,
            CANDLEWORKS_DSN=dsn,
            CANDLEWORKS_FEED_URL=simulator.feed_url,
        )
    assert (result.status, result.output) == (0, "")
    assert result.errors.endswith("Z INFO Feed twelvedata streams 7 of 7 symbols.\n")
    assert count(connection) > 10


def test_an_interrupt_is_a_normal_end(dsn: str, connection: Connection, tmp_path: Path) -> None:
    """Ctrl-C: status 0 and no traceback."""
    with (
        running_simulator(rate=100) as simulator,
        started("ingest", directory=tmp_path, CANDLEWORKS_DSN=dsn, CANDLEWORKS_FEED_URL=simulator.feed_url) as process,
    ):
        until(lambda: count(connection) > 10)
        process.send_signal(signal.SIGINT)
        result: Ended = ended(process)
    assert (result.status, result.output) == (0, "")
    assert "Traceback" not in result.errors


STOPS = "SELECT reason LIKE 'candleworks ingest was stopped on %', deliberate FROM feed_stops"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_in_order_is_known_as_such(
    dsn: str, connection: Connection, tmp_path: Path, number: signal.Signals
) -> None:
    """Until the next start; a kill is not taken for one."""
    with running_simulator(rate=100) as simulator:
        variables = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_FEED_URL": simulator.feed_url}
        with started("ingest", directory=tmp_path, **variables) as process:
            until(lambda: count(connection) > 10)
            process.send_signal(number)
            ended(process)
        deliberate = [] if number == signal.SIGKILL else [(True, True)]
        assert connection.execute(STOPS).fetchall() == deliberate
        if deliberate:
            with started("ingest", directory=tmp_path, **variables):
                until(lambda: connection.execute(STOPS).fetchall() == [])


def test_an_interrupt_while_nobody_answers_is_a_normal_end(dsn: str, tmp_path: Path) -> None:
    """It does not wait for the next try."""
    with started(
        "ingest", directory=tmp_path, CANDLEWORKS_DSN=dsn, CANDLEWORKS_FEED_URL="ws://127.0.0.1:1/"
    ) as process:
        assert process.stderr
        assert "cannot be reached (" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert ended(process).status == 0
