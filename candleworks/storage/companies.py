"""`company`: name, exchange, currency and type of symbols."""

from collections.abc import Iterable, Sequence

from candleworks.database.connection import Connection
from candleworks.database.queries import query


def merge_companies(connection: Connection, rows: Sequence[tuple[str | None, ...]]) -> int:
    """Store (symbol, name, exchange, currency, type) and return how many rows were new or changed.

    None leaves a stored value unchanged; a new company without a name gets its symbol as name. Of several rows with
    one symbol the last one counts.
    """
    latest = {row[0]: row for row in rows}
    if not latest:
        return 0
    names = ("symbols", "names", "exchanges", "currencies", "types")
    columns = (list(column) for column in zip(*latest.values(), strict=True))
    return connection.execute(query("merge_companies"), dict(zip(names, columns, strict=True))).rowcount


def stored_symbols(connection: Connection) -> list[str]:
    """Return every symbol that has candles."""
    return [row[0] for row in connection.execute(query("stored_symbols")).fetchall()]


def known_companies(connection: Connection, symbols: Iterable[str]) -> set[str]:
    """Return those of the symbols that have a company."""
    rows = connection.execute(query("known_companies"), {"symbols": list(symbols)}).fetchall()
    return {symbol for (symbol,) in rows}
