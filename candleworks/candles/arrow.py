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
    """Return candles as they are described; `volume_from` of the rows is a flag: whether it is sizes."""
    flags = rows.column("volume_from")
    names = pc.if_else(flags, pa.scalar("sizes"), pa.scalar("day_volume"))
    return rows.set_column(rows.num_columns - 1, "volume_from", names).cast(candle_schema(zone))


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
