"""What checks ask of the database, and where their results are kept."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
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
from candleworks.model.quality import QualityResult, QualityState

Span = tuple[datetime, datetime]
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class Trouble(NamedTuple):
    """A check and subject that did not pass lately. `failing` tells that its newest result did not.

    `times` are those of the rows that failed last, at `failed_at`; None where nothing has to be looked at again:
    nothing ever failed (the check ended in an error), or the alert about it has ended since. `expected` is of that
    result.
    """

    check: str
    subject: str
    failing: bool
    times: list[Span] | None
    failed_at: datetime | None
    expected: str | None


@contextmanager
def check_session(dsn: str) -> Iterator[Connection]:
    """Connect for a run of checks; TransientError when the database is away, TerminalError when it refuses."""
    try:
        with transient_errors(dsn), connect(dsn, "check", profile=WRITER) as connection:
            yield connection
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise TerminalError(
            f"The checks cannot run: the database {describe(dsn)} refuses ({reason}): put that right."
        ) from error


class Objects(list[dict[str, Any]]):
    """A parameter that becomes a JSON array, not an array of the database."""


@cache
def check_sql(name: str) -> str:
    """Return the SQL of a check, `sql/checks/NAME.sql`."""
    return (sql_directory() / "checks" / f"{name}.sql").read_text(encoding="utf-8").strip()


def rendered(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> str:
    """Put the parameters into a statement as literals; lists of objects and mappings become JSON."""
    plain = {name: Jsonb(value) if isinstance(value, Objects | dict) else value for name, value in parameters.items()}
    return psycopg.ClientCursor(connection).mogrify(statement, plain)


def checked_until(connection: Connection) -> dict[str, datetime]:
    """Return up to where each check has read ticks."""
    return dict(connection.execute(query("checked_until")).fetchall())


def symbols_in_window(connection: Connection, window: Mapping[str, Any]) -> dict[str, int]:
    """Return how many ticks of each symbol a window holds."""
    return dict(connection.execute(query("symbols_in_window"), window).fetchall())


def symbols_of_feeds(connection: Connection) -> list[str]:
    """Return what feeds stream, should stream, or were refused."""
    return [symbol for (symbol,) in connection.execute(query("symbols_of_feeds")).fetchall()]


def failing_subjects(connection: Connection, until: datetime) -> list[Trouble]:
    """Return what did not pass lately: its passes are worth a row."""
    return [_trouble(*row) for row in connection.execute(query("failing_subjects"), {"until": until}).fetchall()]


def _trouble(check: str, subject: str, failing: bool, times: Multirange[datetime] | None, *last: Any) -> Trouble:
    spans = None if times is None else [(each.lower or _FIRST, each.upper or _LAST) for each in times]
    return Trouble(check, subject, failing, spans, *last)


def repairs(connection: Connection, symbol: str, span: Span, since: datetime) -> tuple[int, datetime | None]:
    """Return how many candles of a time the audit repaired since a moment, and when last; None for none."""
    parameters = {"symbol": symbol, "start": span[0], "stop": span[1], "since": since}
    row = connection.execute(query("repairs"), parameters).fetchone()
    return (row[0], row[1]) if row else (0, None)


def judged_feeds(connection: Connection, window: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the feeds (`feed/NAME`) that wrote statistics in a window, and those that stream or should."""
    wrote = connection.execute(query("feeds_with_statistics"), window).fetchall()
    streaming = connection.execute(query("streaming_feeds")).fetchall()
    return {feed for (feed,) in wrote}, {feed for (feed,) in streaming}


def day_with_candles(connection: Connection, before: datetime) -> datetime | None:
    """Return the start of the newest UTC day before a moment that has candles of trades; None where there is none."""
    row = connection.execute(query("day_with_candles"), {"before": before}).fetchone()
    return row[0] if row else None


def ticks_of_symbols(connection: Connection, start: datetime, stop: datetime) -> dict[str, int]:
    """Return how many ticks symbols have in some UTC days, 0 for those that have candles within a week of them only."""
    return dict(connection.execute(query("ticks_of_symbols"), {"start": start, "stop": stop}).fetchall())


def save_results(connection: Connection, results: Sequence[QualityResult], checked: Mapping[str, datetime]) -> None:
    """Keep the results of a run, and up to where its checks have read, all or nothing."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(query("save_quality_result"), [_row(result) for result in results])
        cursor.executemany(
            query("save_checked_until"), [{"check": check, "moment": moment} for check, moment in checked.items()]
        )


def _row(result: QualityResult) -> dict[str, Any]:
    return asdict(result) | {"sample": None if result.sample is None else Jsonb(result.sample)}


def quality_now(connection: Connection) -> list[QualityState]:
    """Return the newest result of every check and subject, the worst first."""
    with connection.cursor(row_factory=class_row(QualityState)) as cursor:
        return cursor.execute(query("quality_now")).fetchall()


def quality_history(connection: Connection, check: str) -> list[QualityResult]:
    """Return the newest results of a check that failed, broke or passed, the newest first."""
    with connection.cursor(row_factory=class_row(QualityResult)) as cursor:
        return cursor.execute(query("quality_history"), {"check": check}).fetchall()
