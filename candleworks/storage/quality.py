"""`quality_results`: what checks read from the database, and their results."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg.types.multirange import Multirange

from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.database.queries import query, sql_directory
from candleworks.errors import TerminalError
from candleworks.model.alerts import CheckResult, CheckStatus

TimeRange = tuple[datetime, datetime]  # [start, stop)
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class RecentFailure(NamedTuple):
    """A check and subject that did not pass recently. `failing`: nor did its newest result.

    `times` are those of the rows that failed last, at `failed_at`; null where nothing has to be checked again: no row
    failed (the check ended in an error), or its alert was resolved since. `expected` is of that result.
    """

    check: str
    subject: str
    failing: bool
    times: list[TimeRange] | None
    failed_at: datetime | None
    expected: str | None


@contextmanager
def check_session(dsn: str) -> Iterator[Connection]:
    """Connect for a run of checks; TransientError when the database is not available, TerminalError on other errors."""
    try:
        with transient_errors(dsn), connect(dsn, "check", profile=WRITER) as connection:
            yield connection
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise TerminalError(
            f"The checks cannot run: the database {describe(dsn)} reported an error ({reason}): correct it."
        ) from error


class Objects(list[dict[str, Any]]):
    """A parameter that becomes a JSON array, not an array of the database."""


@cache
def check_sql(name: str) -> str:
    """Return the SQL of a check, `sql/checks/NAME.sql`."""
    return (sql_directory() / "checks" / f"{name}.sql").read_text(encoding="utf-8").strip()


def rendered(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> str:
    """Return a statement with the parameters as literals; lists of objects and mappings become JSON."""
    plain = {name: Jsonb(value) if isinstance(value, Objects | dict) else value for name, value in parameters.items()}
    return psycopg.ClientCursor(connection).mogrify(statement, plain)


def checked_until(connection: Connection) -> dict[str, datetime]:
    """Return up to where each check has read ticks."""
    return dict(connection.execute(query("checked_until")).fetchall())


def symbols_in_window(connection: Connection, window: Mapping[str, Any]) -> dict[str, int]:
    """Return how many ticks of each symbol a window holds."""
    return dict(connection.execute(query("symbols_in_window"), window).fetchall())


def symbols_of_feeds(connection: Connection) -> list[str]:
    """Return the symbols that feeds subscribe to, refused ones included."""
    return [symbol for (symbol,) in connection.execute(query("symbols_of_feeds")).fetchall()]


def recent_failures(connection: Connection, until: datetime) -> list[RecentFailure]:
    """Return the checks and subjects that did not pass recently: when they pass, that is stored too."""
    return [_failure(*row) for row in connection.execute(query("recent_failures"), {"until": until}).fetchall()]


def _failure(check: str, subject: str, failing: bool, times: Multirange[datetime] | None, *last: Any) -> RecentFailure:
    ranges = None if times is None else [(each.lower or _FIRST, each.upper or _LAST) for each in times]
    return RecentFailure(check, subject, failing, ranges, *last)


def candle_repairs(
    connection: Connection, symbol: str, span: TimeRange, since: datetime
) -> tuple[int, datetime | None]:
    """Return how many candles in a range the audit repaired since a time, and when the last; null for none."""
    parameters = {"symbol": symbol, "start": span[0], "stop": span[1], "since": since}
    row = connection.execute(query("candle_repairs"), parameters).fetchone()
    return (row[0], row[1]) if row else (0, None)


def feeds_with_statistics(connection: Connection, window: Mapping[str, Any]) -> set[str]:
    """Return the feeds (`feed/NAME`) that wrote statistics in a window."""
    return {feed for (feed,) in connection.execute(query("feeds_with_statistics"), window)}


def feeds_streaming(connection: Connection) -> set[str]:
    """Return the feeds (`feed/NAME`) that stream a symbol, or have asked for one."""
    return {feed for (feed,) in connection.execute(query("feeds_streaming"))}


def day_with_candles(connection: Connection, before: datetime) -> datetime | None:
    """Return the start of the newest UTC day before a time that has candles of trades; null where there is none."""
    row = connection.execute(query("day_with_candles"), {"before": before}).fetchone()
    return row[0] if row else None


def ticks_of_symbols(connection: Connection, start: datetime, stop: datetime) -> dict[str, int]:
    """Return the number of ticks per symbol in some UTC days; 0 for symbols with candles only within a week of them."""
    return dict(connection.execute(query("ticks_of_symbols"), {"start": start, "stop": stop}).fetchall())


def save_results(connection: Connection, results: Sequence[CheckResult], checked: Mapping[str, datetime]) -> None:
    """Store the results of a run, and up to where its checks have read, in the transaction of the caller."""
    with connection.cursor() as cursor:
        cursor.executemany(query("save_quality_result"), [_row(result) for result in results])
        cursor.executemany(
            query("save_checked_until"), [{"check": check, "moment": until} for check, until in checked.items()]
        )


def _row(result: CheckResult) -> dict[str, Any]:
    return asdict(result) | {"sample": None if result.sample is None else Jsonb(result.sample)}


def quality_now(connection: Connection) -> list[CheckResult]:
    """Return the newest result of every check and subject with its `since`, the worst first."""
    with connection.cursor(row_factory=class_row(CheckResult)) as cursor:
        return cursor.execute(query("quality_now")).fetchall()


def quality_history(connection: Connection, check: str) -> list[CheckResult]:
    """Return the newest results of a check for each status, the newest first."""
    with connection.cursor(row_factory=class_row(CheckResult)) as cursor:
        return cursor.execute(query("quality_history"), {"check": check}).fetchall()


def quality_parts(connection: Connection, start: datetime, part: timedelta) -> dict[str, dict[int, CheckStatus]]:
    """Return the worst status of each check in each part of the time since `start` that has a result."""
    found: dict[str, dict[int, CheckStatus]] = defaultdict(dict)
    parameters = {"start": start, "seconds": part.total_seconds()}
    for check, number, status in connection.execute(query("quality_parts"), parameters):
        found[check][number] = status
    return found
