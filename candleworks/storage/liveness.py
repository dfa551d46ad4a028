"""Heartbeats: of feeds, of scheduled checks, and of the database that stores both."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import class_row

from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.profiles import WATCH
from candleworks.database.queries import query
from candleworks.database.sqlstates import outage_of
from candleworks.errors import TerminalError


@dataclass(frozen=True, slots=True)
class FeedLiveness:
    """What a feed showed in a window of time before now.

    `heartbeat_at` is its newest row of statistics. `windows` ten-second rows cover the time in which `ticks` arrived.
    `spool_depths` are the ticks that waited in the newest seven rows, oldest first; empty when there are none.
    `disconnected_at` is null while it is connected or silent, `stopped_at` unless an operator stopped it,
    `refused_since` unless the vendor refuses a key that it has accepted before; `refusal` quotes its answer.
    """

    feed: str
    heartbeat_at: datetime | None
    windows: int
    ticks: int
    spool_depths: list[int]
    in_session: bool
    disconnected_at: datetime | None = None
    disconnect_reason: str | None = None
    stopped_at: datetime | None = None
    stop_reason: str | None = None
    refused_since: datetime | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class CheckLiveness:
    """When checks ran last, and in how many of the twelve periods of five minutes up to then they did."""

    last_run_at: datetime
    periods: int


@contextmanager
def watch_connection(dsn: str, purpose: str) -> Iterator[Connection]:
    """Connect with a time limit of ten seconds for every answer.

    TransientError when the database does not answer in time or cannot work now, TerminalError for its other errors.
    """
    with transient_errors(dsn), connect(dsn, purpose, profile=WATCH) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            if outage_of(error):
                raise
            raise TerminalError(
                f"The database {describe(dsn)} reported an error ({_sentence(error)}): correct it."
            ) from error


def feed_liveness(
    connection: Connection, feeds: Mapping[str, Sequence[str]], at: datetime, window: timedelta
) -> list[FeedLiveness]:
    """Return what each feed, given with its symbols, showed in the window before `at`.

    TerminalError when the query fails.
    """
    pairs = [(feed, symbol) for feed, symbols in feeds.items() for symbol in symbols]
    parameters = {
        "feeds": [feed for feed, _ in pairs],
        "symbols": [symbol for _, symbol in pairs],
        "at": at,
        "window": window,
    }
    with _querying("feeds"), connection.cursor(row_factory=class_row(FeedLiveness)) as cursor:
        return cursor.execute(query("feed_liveness"), parameters).fetchall()


def check_liveness(connection: Connection, at: datetime) -> CheckLiveness | None:
    """Return when checks ran up to `at`; null when none ran for a day.

    TerminalError when the query fails.
    """
    with _querying("checks"), connection.cursor(row_factory=class_row(CheckLiveness)) as cursor:
        return cursor.execute(query("check_liveness"), {"at": at}).fetchone()


@contextmanager
def _querying(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if outage_of(error):
            raise
        raise TerminalError(f"The state of the {what} could not be read ({_sentence(error)}): correct it.") from error


def _sentence(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().removesuffix(".")
