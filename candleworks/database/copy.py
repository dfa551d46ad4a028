"""Encodes ticks as PostgreSQL's binary COPY format, by columns instead of row by row.

Rows of one shape (length of the symbol, which values are null) have one layout, so numpy fills them at once: 0.25 µs a
row against 3 µs for a row-wise writer. The order of rows in a COPY has no meaning; `time` carries it.
Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from candleworks.model.quotes import Quotes
from candleworks.model.trades import Trades

COPY_TRADES = (
    "COPY public.stocks_real_time (time, symbol, price, day_volume, volume, bid, ask, received_at, origin)"
    " FROM STDIN (FORMAT binary)"
)
_BINARY = "FROM STDIN (FORMAT binary)"
COPY_QUOTES = f"COPY public.quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin) {_BINARY}"
POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def encode_trades(trades: Trades, origin: str) -> bytes:
    """Return the whole COPY stream of `trades`."""
    return encode_columns(
        np.array(trades.event_us, dtype=np.int64) + np.array(trades.ordinal, dtype=np.int64),
        np.array(trades.symbol, dtype="S"),
        np.array(trades.price, dtype=np.float64),
        [np.array(c, dtype=np.float64) for c in (trades.day_volume, trades.volume, trades.bid, trades.ask)],
        np.array(trades.received_us, dtype=np.int64),
        origin,
    )


def encode_quotes(quotes: Quotes, origin: str) -> bytes:
    """Return the whole COPY stream of `quotes`, whose sizes are unknown."""
    unknown = np.full(len(quotes), np.nan)
    return encode_table(
        [
            np.array(quotes.event_us, dtype=np.int64) + np.array(quotes.ordinal, dtype=np.int64),
            np.array(quotes.symbol, dtype="S"),
            np.array(quotes.bid, dtype=np.float64),
            np.array(quotes.ask, dtype=np.float64),
            unknown,
            unknown,
            np.array(quotes.received_us, dtype=np.int64),
            np.full(len(quotes), origin.encode()),
        ],
        nullable=(4, 5),
    )


def encode_columns(
    time_us: Integers,
    symbol: NDArray[np.bytes_],
    price: Floats,
    nullable: list[Floats],
    received_us: Integers,
    origin: str,
) -> bytes:
    """Return the COPY stream of trades; NaN in `nullable` (day_volume, volume, bid, ask) stands for null."""
    texts = np.full(len(time_us), origin.encode())
    return encode_table([time_us, symbol, price, *nullable, received_us, texts], nullable=range(3, 3 + len(nullable)))


def encode_table(columns: Sequence[NDArray[Any]], nullable: Collection[int]) -> bytes:
    """Return the whole COPY stream of columns of one length.

    Integers are microseconds since 1970, bytes are texts; NaN stands for null in the columns numbered in `nullable`.
    """
    shape = np.zeros(len(columns[0]), np.int64)
    for index, column in enumerate(columns):
        if column.dtype.kind == "S":
            shape = shape * (column.dtype.itemsize + 1) + np.char.str_len(column)
        elif index in nullable:
            shape = shape * 2 + np.isnan(column)
    shapes = np.unique(shape)
    parts = [_HEADER]
    for key in shapes:
        rows = slice(None) if len(shapes) == 1 else shape == key
        parts.append(_encoded([column[rows] for column in columns], nullable))
    parts.append(_TRAILER)
    return b"".join(parts)


def _encoded(columns: Sequence[NDArray[Any]], nullable: Collection[int]) -> bytes:
    """Encode rows of one shape: the layout is that of the first one."""
    layout: list[tuple[str, str]] = [("columns", ">i2")]
    for index, column in enumerate(columns):
        is_null = index in nullable and bool(np.isnan(column[0]))
        layout.append((f"length{index}", ">i4"))
        if not is_null and (kind := _kind(column)):
            layout.append((f"value{index}", kind))
    out = np.zeros(len(columns[0]), dtype=np.dtype(layout))
    names = out.dtype.names or ()
    out["columns"] = len(columns)
    for index, column in enumerate(columns):
        if f"value{index}" in names:
            out[f"length{index}"] = out.dtype[f"value{index}"].itemsize
            out[f"value{index}"] = column - POSTGRES_EPOCH_US if column.dtype.kind == "i" else column
        else:
            out[f"length{index}"] = 0 if column.dtype.kind == "S" else -1
    return out.tobytes()


def _kind(column: NDArray[Any]) -> str | None:
    """Name the type of a column on the wire; None for empty texts, which take no bytes."""
    if column.dtype.kind == "S":
        length = int(np.char.str_len(column[0]))
        return f"S{length}" if length else None
    return {"i": ">i8", "f": ">f8"}[column.dtype.kind]
