"""Reads tables from the configured database, or from another one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from candleworks.candles.periods import parse_period
from candleworks.candles.reads import SIDES, sides_of
from candleworks.database.connection import Connection, connect
from candleworks.database.migrations import require_schema
from candleworks.database.profiles import READER
from candleworks.database.server import database
from candleworks.errors import TerminalError, UsageError
from candleworks.libraries import file_libraries
from candleworks.reader import Time
from candleworks.runtime.database import require_database
from candleworks.settings import load_settings
from candleworks.storage.candle_reads import has_company, has_trades_and_quotes
from candleworks.times import TIME_FORMS, parse_time

if TYPE_CHECKING:
    import pyarrow as pa

    from candleworks.reader.table import Table

_NO_TABLES = "Tables cannot be read here"


class _Source(NamedTuple):
    """A database with candleworks' schema."""

    dsn: str
    connection: Connection


def read_candles(
    symbol: str,
    period: str,
    start: Time | None,
    end: Time | None,
    *,
    zone: str | None,
    adjusted: bool,
    price: str | None,
    dsn: str | None,
) -> "Table":
    """Return candles; UsageError for an invalid argument, TerminalError for a symbol that is not stored."""
    with file_libraries(_NO_TABLES):
        from candleworks.candles.arrow import with_candle_schema  # noqa: PLC0415 - pyarrow may be missing
    try:
        wanted = parse_period(period)
    except ValueError as error:
        raise _invalid("period", period, str(error)) from None
    if price is not None and price not in SIDES:
        raise _invalid("price", price, f"one of {', '.join(SIDES)}")
    first, last = _bounds(start, end)
    zone = _zone(zone)
    with _source(dsn) as source:
        side = price or _default_side(source.connection, symbol)
        name = "arrow_adjusted_statement" if adjusted else "arrow_candles_statement"
        others = {"period": wanted.interval, "price": side, "zone": zone}
        found = _rows(source, name, symbol, {"start": first, "stop": last, **others})
    return _table(f"candles of {symbol}, {wanted.name}, {side}", with_candle_schema(found, zone))


def read_ticks(name: str, symbol: str, start: Time | None, end: Time | None, dsn: str | None) -> "Table":
    """Return ticks, quotes or trades_with_quotes; errors are those of read_candles()."""
    first, last = _bounds(start, end)
    with _source(dsn) as source:
        found = _rows(source, f"arrow_{name}", symbol, {"start": first, "stop": last})
    return _table(f"{name} of {symbol}", found)


def _table(title: str, rows: "pa.Table") -> "Table":
    from candleworks.reader.table import Table  # noqa: PLC0415 - pyarrow may be missing

    return Table(title, rows.replace_schema_metadata(None))


def _rows(source: _Source, name: str, symbol: str, values: Mapping[str, str | datetime | None]) -> "pa.Table":
    with file_libraries(_NO_TABLES):
        from candleworks.storage.arrow_reads import read_table  # noqa: PLC0415 - pyarrow may be missing
    found = read_table(source.dsn, name, {"symbol": symbol, **values})
    if not found.num_rows:
        _require_known(source.connection, symbol)
    return found


@contextmanager
def _source(dsn: str | None) -> Iterator[_Source]:
    """Yield the database; an embedded server is started, and runs on."""
    settings = load_settings({**os.environ, "CANDLEWORKS_DSN": dsn} if dsn else None)
    require_database(settings)
    with database(settings, keep_running=True) as address, connect(address, "reader", profile=READER) as connection:
        require_schema(connection)
        yield _Source(address, connection)


def _default_side(connection: Connection, symbol: str) -> str:
    traded, quoted = has_trades_and_quotes(connection, symbol)
    return next(iter(sides_of(traded=traded, quoted=quoted)), SIDES[0])


def _require_known(connection: Connection, symbol: str) -> None:
    if not any(has_trades_and_quotes(connection, symbol)) and not has_company(connection, symbol):
        raise TerminalError(f"The symbol {symbol!r} is not stored: correct it, or stream or import it first.")


def _bounds(start: Time | None, end: Time | None) -> tuple[datetime | None, datetime | None]:
    first, last = _time("start", start), _time("end", end)
    if first and last and first >= last:
        raise _invalid("start", str(start), f"a time before end, which is {end}")
    return first, last


def _time(name: str, given: Time | None) -> datetime | None:
    """Return a time in UTC; a date is its midnight, and a time without zone is UTC."""
    if isinstance(given, datetime):
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    try:
        return None if given is None else parse_time(given)
    except (TypeError, ValueError):
        raise _invalid(name, given, TIME_FORMS) from None


def _zone(name: str | None) -> str | None:
    try:
        return None if name in (None, "UTC") else ZoneInfo(name).key
    except (TypeError, ValueError, OSError, KeyError):
        raise _invalid("zone", name, "a time zone of the IANA database, such as America/New_York") from None


def _invalid(name: str, given: object, allowed: str) -> UsageError:
    return UsageError(f"The argument {name} is {given!r}, expected {allowed}.")
