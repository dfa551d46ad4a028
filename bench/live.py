"""Live path: from websocket frame to committed row, beside TimescaleDB's tutorial.

Each client is a process of its own, streams from a simulator of its own (same seed, same symbols, more ticks than it
can take) into a fresh database of the same server. Rounds alternate, the median counts.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.databases import Databases, single
from bench.report import Measurement, Options
from bench.tutorial_client import TABLE
from candleworks import clock
from candleworks.database.connection import Connection, connect
from candleworks.settings import DEFAULT_SYMBOLS
from candleworks.simulate import RunningSimulator, running_simulator

BUDGET = 8.0
OFFERED_TICKS_PER_SECOND = 400_000
START_TIMEOUT_SECONDS = 60
SYMBOLS = ",".join(DEFAULT_SYMBOLS)
ROWS = "SELECT count(*) FROM stocks_real_time"


@dataclass(frozen=True)
class Round:
    """What one client did: its pace after its first commit, and what of all that was sent to it is not stored."""

    rows_per_second: float
    sent: int
    lost: int


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(candleworks_round(databases, options.seconds))
        theirs.append(_tutorial(databases, options.seconds))
    our_pace, their_pace = (statistics.median(r.rows_per_second for r in rounds) for rounds in (ours, theirs))
    yield Measurement(
        "live: frame to committed row",
        f"{our_pace:,.0f} rows/s, lost {_share_lost(ours)}",
        f"tutorial's client: {their_pace:,.0f} rows/s, lost {_share_lost(theirs)}",
        our_pace / their_pace,
        budget=BUDGET,
        details={"candleworks": [vars(r) for r in ours], "tutorial": [vars(r) for r in theirs]},
    )


def candleworks_round(databases: Databases, seconds: float, before: str | None = None) -> Round:
    """Run our own client for so long, in a database that was changed by the statements `before`."""
    with databases.fresh(migrated=True) as dsn:
        if before:
            with connect(dsn, "bench") as connection:
                connection.execute(before)
        with _simulator() as simulator, client("bench.candleworks_client", dsn, simulator.feed_url, SYMBOLS) as process:
            with connect(dsn, "bench") as connection:
                pace = _pace(connection, seconds)
            sent = _end_of_stream(simulator)
            process.terminate()
            process.wait()
        with connect(dsn, "bench") as connection:
            stored = single(connection, ROWS)
            known = single(connection, "SELECT sum(duplicates) FROM ingest_stats")
        return Round(pace, sent, sent - stored - known)


def _tutorial(databases: Databases, seconds: float) -> Round:
    with databases.fresh(migrated=False) as dsn, connect(dsn, "bench") as connection, contextlib.ExitStack() as stack:
        connection.execute(TABLE)
        with _simulator() as simulator:
            arguments = (dsn, simulator.feed_url, simulator.rest_url, SYMBOLS)
            stack.enter_context(client("bench.tutorial_client", *arguments))
            pace = _pace(connection, seconds)
            sent = _end_of_stream(simulator)
        return Round(pace, sent, sent - _settled(connection))


@contextlib.contextmanager
def client(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a client in an interpreter of its own, at most as long as the context."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _simulator() -> Iterator[RunningSimulator]:
    with running_simulator(process=True, rate=OFFERED_TICKS_PER_SECOND) as simulator:
        yield simulator


def _pace(connection: Connection, seconds: float) -> float:
    """Count the rows committed per second from the first one on."""
    deadline = clock.monotonic() + START_TIMEOUT_SECONDS
    while not single(connection, "SELECT EXISTS (SELECT FROM stocks_real_time)::int"):
        if clock.monotonic() > deadline:
            raise TimeoutError(f"the client stored nothing within {START_TIMEOUT_SECONDS} s")
        time.sleep(0.02)
    began, before = clock.monotonic(), single(connection, ROWS)
    time.sleep(seconds)
    ended, after = clock.monotonic(), single(connection, ROWS)
    return (after - before) / (ended - began)


def _end_of_stream(simulator: RunningSimulator) -> int:
    """Close the connection in order, so that the client reads all there is, and return how many frames that was."""
    simulator.close_clients()
    return int(simulator.stats()["frames_sent"])


def _settled(connection: Connection) -> int:
    """Count the rows once the client has worked off its queue."""
    before, after = -1, 0
    while before != after:
        before = after
        time.sleep(2)
        after = single(connection, ROWS)
    return after


def _share_lost(rounds: list[Round]) -> str:
    return f"{100 * sum(r.lost for r in rounds) / sum(r.sent for r in rounds):.1f} %"
