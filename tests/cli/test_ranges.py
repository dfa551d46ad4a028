"""--from and --to mean the same for every command: [from, to), and a date in --to includes its day."""

import re
from collections.abc import Callable

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.candles.conftest import stored_table
from tests.cli.commands import Ended
from tests.cli.conftest import Invoke
from tests.conftest import clone

Ranged = Callable[..., Ended]
DAYS = ("2024-03-04", "2024-03-05", "2024-03-06")
# The options of a range, and the days that it holds.
RANGES = {
    (): DAYS,
    ("--to", "2024-03-04"): DAYS[:1],
    ("--to", "2024-03-05"): DAYS[:2],
    ("--to", "2024-03-05T00:00"): DAYS[:1],
    ("--to", "2024-03-05T00:00:00Z"): DAYS[:1],
    ("--to", "2024-03-05T02:00+02:00"): DAYS[:1],
    ("--from", "2024-03-05"): DAYS[1:],
    ("--from", "2024-03-05", "--to", "2024-03-05"): DAYS[1:2],
    ("--from", "2024-03-05", "--to", "2024-03-06T00:00"): DAYS[1:2],
}
EMPTY = [("--from", "2024-03-05", "--to", "2024-03-04"), ("--from", "2024-03-05", "--to", "2024-03-05T00:00")]
SENTENCE = "--from 2024-03-05T00:00:00Z is not before the end 2024-03-05T00:00:00Z: change --from or --to.\n"
COMMANDS = {
    "export": ("export", "stocks_real_time", "--overwrite"),
    "replay": ("replay", "--from-db", "--speed", "0", "--fresh"),
    "candles audit": ("candles", "audit"),
}


@pytest.fixture
def ranged(connection: Connection, invoke: Invoke, dsn: str) -> Ranged:
    """Runs a command on a database that has a trade at the beginning, and one at the end of each of DAYS."""
    connection.execute("SELECT candleworks.prepare_ticks('2024-03-04', '2024-03-06')")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price) SELECT d + t, 'AAPL', 100"
        " FROM unnest(%s::timestamptz[]) d CROSS JOIN unnest('{0,23:59:59.999999}'::interval[]) t",
        [[f"{day}T00:00Z" for day in DAYS]],
    )
    refresh(connection)
    return lambda command, *options: invoke(*COMMANDS[command], *options, CANDLEWORKS_DSN=dsn)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("options", RANGES, ids=" ".join)
def test_an_export_has_the_ticks_of_its_range(ranged: Ranged, options: tuple[str, ...]) -> None:
    """Two of each day."""
    assert f": {2 * len(RANGES[options])} rows of stocks_real_time, " in ranged("export", *options).output


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("options", RANGES, ids=" ".join)
def test_a_replay_has_the_ticks_of_its_range(
    ranged: Ranged, options: tuple[str, ...], server_dsn: str, template: str
) -> None:
    """They are announced before they are sent."""
    with clone(server_dsn, template) as target:
        done = ranged("replay", *options, "--into", target)
    assert f": {2 * len(RANGES[options])} ticks of 1 symbol" in done.output


@pytest.mark.parametrize("options", RANGES, ids=" ".join)
def test_an_audit_has_the_days_of_its_range(
    ranged: Ranged, options: tuple[str, ...], connection: Connection, engine: Engine
) -> None:
    """By the wrong candles that it finds."""
    connection.execute(f"UPDATE {stored_table(connection, engine, '1d')} SET high = 999")
    found = ranged("candles audit", *options)
    lines = found.output.splitlines()
    assert [line.split()[2] for line in lines[:-1]] == list(RANGES[options])
    assert found.status == 1
    days = len(RANGES[options])
    assert re.match(rf"audited {days} days?, {RANGES[options][0]} to {RANGES[options][-1]} \(UTC\): ", lines[-1])


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("options", EMPTY, ids=" ".join)
def test_an_empty_range_is_refused(ranged: Ranged, command: str, options: tuple[str, ...]) -> None:
    """By each command with the same sentence."""
    assert ranged(command, *options) == (2, "", SENTENCE)


@pytest.mark.parametrize(
    ("options", "range_"),
    [
        (("--to", "2024-03-02"), " before 2024-03-03 00:00 UTC"),
        (("--from", "2024-03-07", "--to", "2024-03-08"), " from 2024-03-07 00:00 UTC before 2024-03-09 00:00 UTC"),
    ],
)
def test_an_audit_that_looked_at_nothing_fails(ranged: Ranged, options: tuple[str, ...], range_: str) -> None:
    """A partition that is there does not count as a day."""
    sentence = f"Nothing was audited, no ticks are stored{range_}: check --from and --to.\n"
    assert ranged("candles audit", *options) == (1, "", sentence)


def test_an_audit_of_an_empty_database_fails(invoke: Invoke, dsn: str) -> None:
    """Without dates that nobody asked for."""
    done = invoke("candles", "audit", CANDLEWORKS_DSN=dsn)
    assert done == (1, "", "Nothing was audited, no ticks are stored: check --from and --to.\n")
