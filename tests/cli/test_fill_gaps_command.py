"""`candleworks fill-gaps`: what it shows, and its exit status."""

import re

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.cli.conftest import Invoke
from tests.gapfill.filling import MINUTE, NOON, vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_gaps_are_filled_and_reported(invoke: Invoke, dsn: str, connection: Connection) -> None:
    """First what it would cost, then what became of it; status 1 as long as something could not be fetched."""
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES"
        " ('twelvedata', 'BTC/USD', %(start)s, %(stop)s, 'test'),"
        " ('twelvedata', 'ETH/USD', %(start)s, %(stop)s, 'test'),"
        " ('gone', null, %(start)s, %(stop)s, 'test')",
        {"start": NOON, "stop": NOON + 3 * MINUTE},
    )
    with vendor() as simulated:
        variables = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_REST_URL": simulated.running.rest_url}
        planned = invoke("fill-gaps", "--dry-run", **variables)
        simulated.running.fail_bars(403, "ETH/USD is not in your plan", symbol="ETH/USD")
        failed = invoke("fill-gaps", "--feed", "twelvedata", **variables)
        filled = invoke("fill-gaps", "--symbol", "ETH/USD", "--since", "2020-01-01", **variables)
        assert simulated.running.stats()["bar_requests"] == 3
    assert (planned.status, planned.errors) == (0, "")
    assert "gap 3 is of feed gone, which is not configured" in planned.output
    assert planned.output.endswith("2 to fetch for 2 API credits\n")
    assert (failed.status, failed.errors) == (1, "")
    assert "0 of 2 symbols: BTC/USD" in failed.output
    assert "not in your plan" in re.sub(r"[│\s]+", " ", failed.output)
    assert failed.output.endswith("1 filled, 1 failed; 1 gap settled, 2 API credits used\n")
    assert (filled.status, filled.errors) == (0, "")
    assert filled.output.endswith("1 filled; 1 gap settled, 1 API credit used\n")


def test_a_key_is_wanted_for_the_vendor(invoke: Invoke, dsn: str) -> None:
    """Without one nothing is asked; status 2 and one line."""
    ended = invoke("fill-gaps", CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.startswith("https://api.twelvedata.com requires a key: set TWELVEDATA_API_KEY")
    assert ended.errors.count("\n") == 1
