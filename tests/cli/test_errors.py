"""Failures that are expected: one line, a status, no traceback, no secret."""

from pathlib import Path

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.cli.commands import candleworks
from tests.cli.conftest import Invoke

MALFORMED = (
    "CANDLEWORKS_DSN is not a valid connection string: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with"
    " characters such as @ / % and spaces in the password percent-encoded (%40 %2F %25 %20), or leave the password"
    " out and set PGPASSWORD.\n"
)
NO_KEY = (
    "The feed wss://ws.twelvedata.com/v1/quotes/price requires a key: set TWELVEDATA_API_KEY, or start"
    " `candleworks simulate` and set CANDLEWORKS_FEED_URL to the URL that it prints.\n"
)
UNREACHABLE = "postgresql://me:s3cret@127.0.0.1:1/market"


def test_a_feed_without_a_key_is_refused(tmp_path: Path) -> None:
    """The sentence names both ways out."""
    assert candleworks("ingest", directory=tmp_path) == (2, "", NO_KEY)


@pytest.mark.parametrize("arguments", [("--debug", "ingest"), ("ingest", "--debug")])
def test_debugging_shows_where_it_failed(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    """A traceback that ends with the sentence; the status stays. The option may stand anywhere."""
    ended = invoke(*arguments)
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith("Traceback (most recent call last):\n")
    assert ended.errors.endswith(NO_KEY)


@pytest.mark.parametrize("command", ["migrate", "status", "up --no-prefect"])
def test_a_database_that_does_not_answer_is_named(invoke: Invoke, command: str) -> None:
    """With its address, without the password."""
    ended = invoke(*command.split(), CANDLEWORKS_DSN=UNREACHABLE, CANDLEWORKS_WEB_PORT=18059)
    assert (ended.status, ended.output) == (1, "")
    assert ended.errors.startswith("The database market on 127.0.0.1:1 cannot be reached (")
    assert ended.errors.endswith("): start it, or correct CANDLEWORKS_DSN.\n")
    assert ended.errors.count("\n") == 1
    assert "s3cret" not in ended.errors


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:s3%cret@127.0.0.1:1/market",
        "postgresql://me:s3 cret@127.0.0.1:1/market",
        "postgresql://me:p@s3cret@127.0.0.1:1/market",
        "postgresql://me:s3/cret@127.0.0.1:1/market",
        "postgresql://me:12/s3cret@127.0.0.1:1/market",
        "mysql://me:s3cret@127.0.0.1:1/market",
        "password=s3cret server=127.0.0.1",
        "s3cret",
    ],
)
def test_a_malformed_connection_string_is_refused(invoke: Invoke, dsn: str) -> None:
    """Its text is not repeated: part of it may be the password."""
    assert invoke("migrate", CANDLEWORKS_DSN=dsn) == (2, "", MALFORMED)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_missing_rights_in_the_database_are_one_line(invoke: Invoke, dsn: str, connection: Connection) -> None:
    """The server's own words are in it."""
    connection.execute("CREATE ROLE reader LOGIN")
    try:
        ended = invoke("migrate", CANDLEWORKS_DSN=dsn.replace("user=postgres", "user=reader"))
    finally:
        connection.execute("DROP ROLE reader")
    assert (ended.status, ended.output) == (1, "")
    assert "returned an error (permission denied for " in ended.errors
    assert ended.errors.endswith("): fix its cause, or see --debug.\n")
    assert ended.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("feedz: []", "unknown key feedz, expected one of alerts, calendars, candles, "),
        ("ingest: {max_batch_rows: many}", "ingest.max_batch_rows is 'many', expected"),
        ("ingest: {max_batch_rows: 0}", "ingest.max_batch_rows is 0, expected"),
        ("feeds: [", "is not valid YAML"),
    ],
)
def test_a_wrong_configuration_is_refused(invoke: Invoke, tmp_path: Path, text: str, sentence: str) -> None:
    """Before anything is started; with the path of the key, the value and what is allowed."""
    (tmp_path / "candleworks.yaml").write_text(text)
    ended = invoke("up")
    assert (ended.status, ended.output) == (2, "")
    assert sentence in ended.errors
    assert ended.errors.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_a_feed_that_is_not_configured_is_refused(invoke: Invoke) -> None:
    """Those that are configured are listed."""
    ended = invoke("ingest", "--feed", "crypto")
    sentence = "There is no feed 'crypto' in the configuration: choose one of twelvedata.\n"
    assert ended == (2, "", sentence)


@pytest.mark.parametrize("command", ["up --no-prefect", "dsn"])
def test_a_home_that_cannot_be_used_is_named(invoke: Invoke, tmp_path: Path, command: str) -> None:
    """Here it is a file."""
    home = tmp_path / "home"
    home.touch()
    sentence = f"{home} cannot be used (File exists): correct its permissions, or use another path.\n"
    assert invoke(*command.split()) == (1, "", sentence)
