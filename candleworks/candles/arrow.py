"""Candles as an Arrow table, with the same columns from the Python reader and over HTTP."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from candleworks.storage.candle_reads import Candle

_PRICES = ("open", "high", "low", "close")


def candle_schema(zone: str | None) -> pa.Schema:
    """Return the columns of candles; buckets are shown in the time of `zone`, None is UTC."""
    return pa.schema(
        [
            ("bucket", pa.timestamp("us", zone or "UTC")),
            *((price, pa.float64()) for price in _PRICES),
            ("volume", pa.float64()),
            ("ticks", pa.int64()),
            ("rebuilt", pa.bool_()),
            ("closed", pa.bool_()),
            ("volume_from", pa.string()),
        ]
    )


def with_candle_schema(rows: pa.Table, zone: str | None) -> pa.Table:
    """Return candles as they are described; `flags` of the rows are the sum of 1, rebuilt, 2, closed, and 4, sizes."""
    flags = rows.column("flags")
    rebuilt, closed, sizes = (pc.not_equal(pc.bit_wise_and(flags, pa.scalar(bit, flags.type)), 0) for bit in (1, 2, 4))
    known = pc.if_else(pc.is_valid(rows.column("volume")), sizes, pa.scalar(None, pa.bool_()))
    names = pc.if_else(known, pa.scalar("sizes"), pa.scalar("day_volume"))
    columns = [*rows.columns[:-1], rebuilt, closed, names]
    return pa.table(columns, names=candle_schema(zone).names).cast(candle_schema(zone))


def candle_table(candles: Sequence[Candle], zone: str | None) -> pa.Table:
    schema = candle_schema(zone)
    columns = zip(*candles, strict=True) if candles else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def arrow_stream(candles: Sequence[Candle], zone: str | None) -> bytes:
    """Return the table in the streaming format of Arrow."""
    table = candle_table(candles, zone)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream
