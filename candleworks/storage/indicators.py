"""Queries of technical indicators."""

from collections.abc import Mapping
from datetime import datetime

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.storage.candle_reads import CandleSeries

# The start of a candle, and the indicator's columns; None where it is not defined yet.
IndicatorValue = tuple[datetime, *tuple[float | None, ...]]


def indicator_between(
    connection: Connection,
    name: str,
    series: CandleSeries,
    start: datetime,
    stop: datetime,
    parameters: Mapping[str, float],
) -> list[IndicatorValue]:
    """Return the values of the candles of [start, stop), oldest first."""
    bound = {**series._asdict(), "start": start, "stop": stop, **parameters}
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query(f"indicator_{name}"), bound).fetchall()
