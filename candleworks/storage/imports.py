"""`import_files`: which contents were imported, what became of their rows, and how far an interrupted import came.

Each run of an import has a moment of its own, which its ticks have as received_at: so they can be told from others.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, locked
from candleworks.database.queries import query

IMPORTING = "importing"
IMPORTED = "imported"
UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """rows = stored + duplicates + rejected; first and last are the oldest and newest stamp, null without times.

    `status` is importing while not all rows have been read, and undone when the import was taken back. `options` are
    those that decide what the content means, None where an earlier version did not keep them.
    """

    path: str
    sha256: str
    rows: int
    stored: int
    duplicates: int
    rejected: int
    first: datetime | None
    last: datetime | None
    status: str
    imported_at: datetime
    options: Mapping[str, Any] | None = None

    @property
    def is_unusable(self) -> bool:
        """Whether every row was rejected; such a content is read again the next time."""
        return 0 < self.rejected == self.rows


def locked_import(connection: Connection, sha256: str) -> AbstractContextManager[None]:
    """Keep other imports of the same content away, over all transactions inside."""
    return locked(connection, Lock.IMPORT, sha256)


@contextmanager
def keeping_replaced_bars(connection: Connection, sha256: str) -> Iterator[None]:
    """Keep bars that give way inside, as what the import of this content has replaced."""
    connection.execute("SELECT set_config('candleworks.import', %s, false)", [sha256])
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT set_config('candleworks.import', '', false)")


def begin_run(connection: Connection, sha256: str, now: datetime) -> datetime:
    """Return the moment that marks the ticks of a run of this import: now, or the first one after it that is free."""
    while not connection.execute(query("begin_import_run"), {"sha256": sha256, "received_at": now}).fetchone():
        now += timedelta(microseconds=1)
    return now


def read_import(connection: Connection, sha256: str) -> ImportRecord | None:
    """Return what is known of the content."""
    row = connection.execute(query("read_import"), {"sha256": sha256}).fetchone()
    return ImportRecord(**dict(zip((field.name for field in fields(ImportRecord)), row, strict=True))) if row else None


def save_import(connection: Connection, record: ImportRecord) -> None:
    """Keep the record of the content's latest import, whose run began at `imported_at`."""
    options = None if record.options is None else Jsonb(record.options)
    connection.execute(query("save_import"), asdict(record) | {"options": options})
    reached = {"received_at": record.imported_at, "first": record.first, "last": record.last}
    connection.execute(query("reach_import_run"), reached)
    if record.status == IMPORTED:
        connection.execute(query("forget_import_progress"), {"sha256": record.sha256})


def read_progress(connection: Connection, sha256: str) -> Mapping[str, Any] | None:
    """Return where the reader of an interrupted import stands, None when no import of the content was interrupted."""
    row = connection.execute(query("read_import_progress"), {"sha256": sha256}).fetchone()
    return row[0] if row else None


def save_progress(connection: Connection, sha256: str, state: Mapping[str, Any]) -> None:
    """Keep the reader's state; in the transaction of the rows that it is behind."""
    connection.execute(query("save_import_progress"), {"sha256": sha256, "state": Jsonb(state)})


class Footing(NamedTuple):
    """Whether a symbol has trades where others are to be copied to, and the day's highest running total before them."""

    taken: bool
    highest_day_volume: float | None


class Span(NamedTuple):
    """Where a symbol's trades are to be copied to: from `start` to the end of its last trading day."""

    symbol: str
    day_start: datetime
    start: datetime
    stop: datetime


def trade_footing(connection: Connection, spans: Sequence[Span]) -> dict[str, Footing]:
    """Look at what is stored around the spans, one per symbol."""
    names = ("symbols", "day_starts", "starts", "stops")
    columns = (list(column) for column in zip(*spans, strict=True))
    rows = connection.execute(query("trade_footing"), dict(zip(names, columns, strict=True))).fetchall()
    return {symbol: Footing(taken, highest) for symbol, taken, highest in rows}


def stage(connection: Connection, relation: str, columns: str, csv: bytes) -> None:
    """Copy CSV into a staging table."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {relation} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(csv)
