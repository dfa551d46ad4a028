"""`import_files`: which contents were imported, and what became of their rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from candleworks.storage.connection import Connection
from candleworks.storage.queries import query


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """rows = stored + duplicates + rejected; first and last are the oldest and newest stamp, null without times."""

    path: str
    sha256: str
    rows: int
    stored: int
    duplicates: int
    rejected: int
    first: datetime | None
    last: datetime | None
    imported_at: datetime


@contextmanager
def locked_import(connection: Connection, sha256: str) -> Iterator[None]:
    """Run a transaction that no other import of the same content runs beside."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"candleworks.import {sha256}"])
        yield


def read_import(connection: Connection, sha256: str) -> ImportRecord | None:
    """Return what is known of the content."""
    row = connection.execute(query("read_import"), {"sha256": sha256}).fetchone()
    return ImportRecord(**dict(zip((field.name for field in fields(ImportRecord)), row, strict=True))) if row else None


def save_import(connection: Connection, record: ImportRecord) -> None:
    """Keep the record of the content's latest import."""
    connection.execute(query("save_import"), asdict(record))
