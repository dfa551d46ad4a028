"""Signs of life: of the feeds, and of the database that tells them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import class_row

from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.profiles import WATCH
from candleworks.database.queries import query
from candleworks.errors import TerminalError


@dataclass(frozen=True, slots=True)
class FeedSigns:
    """What a feed showed lately. `windows` of ten seconds are known of the stretch in which `ticks` came.

    `stopped_at` and `stop_reason` are null unless a person has stopped it and nobody has started it since.
    """

    feed: str
    last_sign_at: datetime | None
    windows: int
    ticks: int
    spool_depths: list[int]
    in_session: bool
    stopped_at: datetime | None = None
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True)
class CheckSigns:
    """When checks ran last, and in how many of the twelve stretches of five minutes up to then they did."""

    last_run_at: datetime
    stretches: int


@contextmanager
def impatient(dsn: str, purpose: str) -> Iterator[Connection]:
    """Connect to a database that has ten seconds for every answer; TransientError when it gives none.

    TerminalError when it refuses.
    """
    with transient_errors(dsn), connect(dsn, purpose, profile=WATCH) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            if _unanswered(error):
                raise
            raise TerminalError(
                f"The database {describe(dsn)} refuses ({_sentence(error)}): put that right."
            ) from error


def feed_signs(
    connection: Connection, feeds: Mapping[str, Sequence[str]], moment: datetime, silence: timedelta
) -> list[FeedSigns]:
    """Return what each feed, given with its symbols, showed up to `moment`; ticks are those of the last `silence`.

    TerminalError when the question itself fails.
    """
    pairs = [(feed, symbol) for feed, symbols in feeds.items() for symbol in symbols]
    parameters = {
        "feeds": [feed for feed, _ in pairs],
        "symbols": [symbol for _, symbol in pairs],
        "moment": moment,
        "silence": silence,
    }
    with _looking("feeds"), connection.cursor(row_factory=class_row(FeedSigns)) as cursor:
        return cursor.execute(query("feed_liveness"), parameters).fetchall()


def check_signs(connection: Connection, moment: datetime) -> CheckSigns | None:
    """Return what the checks showed up to `moment`; None when none ran for a day.

    TerminalError when the question itself fails.
    """
    with _looking("checks"), connection.cursor(row_factory=class_row(CheckSigns)) as cursor:
        return cursor.execute(query("check_liveness"), {"moment": moment}).fetchone()


@contextmanager
def _looking(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if _unanswered(error):
            raise
        raise TerminalError(f"The {what} cannot be looked at ({_sentence(error)}): put that right.") from error


def _unanswered(error: psycopg.Error) -> bool:
    """Whether the connection was lost, the server is going down, or a time limit ended the wait for it.

    The driver's classes do not tell: it counts much that a server says as an operational error.
    """
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57"))


def _sentence(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().removesuffix(".")
