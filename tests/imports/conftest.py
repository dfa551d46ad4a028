"""Files to import, and what became of their lines."""

from pathlib import Path
from typing import Any

import pytest

from candleworks.database.connection import Connection
from candleworks.errors import TerminalError
from candleworks.imports.importer import ImportResult, Reading, import_file
from candleworks.settings import Settings
from tests.storage.conftest import Book

HEADER = "time,symbol,price,day_volume\n"
GOOD = "2022-10-19 12:00:01+00,AAPL,143.86,51\n"


class Desk:
    """Imports files into one database and looks at what is there afterwards."""

    def __init__(self, connection: Connection, settings: Settings, directory: Path) -> None:
        self.connection = connection
        self.settings = settings
        self.directory = directory
        self.book = Book(connection)

    def write(self, content: str | bytes, name: str = "trades.csv") -> Path:
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def take(
        self, content: str | bytes | Path, *, again: bool = False, dry_run: bool = False, **reading: Any
    ) -> ImportResult:
        """Import it, and check that every line is accounted for."""
        path = content if isinstance(content, Path) else self.write(content)
        before = self.ticks()
        result = import_file(self.connection, self.settings, path, Reading(**reading), again=again, dry_run=dry_run)
        record = result.record
        assert record.rows == record.stored + record.duplicates + record.rejected
        if self.count("company") == 0:
            assert self.ticks() == before + (0 if result.known or dry_run else record.stored)
        return result

    def refusal(self, content: str | bytes | Path, **reading: Any) -> str:
        """The message with which a file is refused; nothing of it may be there afterwards."""
        path = content if isinstance(content, Path) else self.write(content)
        with pytest.raises(TerminalError) as caught:
            import_file(self.connection, self.settings, path, Reading(**reading))
        assert self.counts() == (0, 0, 0)
        return str(caught.value).replace(f"{self.directory}/", "")

    def rejected(self) -> list[tuple[str, str, str]]:
        return self.connection.execute("SELECT feed, reason, payload FROM rejected_ticks ORDER BY id").fetchall()

    def quotes(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT time, symbol, bid, ask, bid_volume, ask_volume FROM quotes ORDER BY symbol, time"
        ).fetchall()

    def ticks(self) -> int:
        return self.count("stocks_real_time") + self.count("quotes")

    def counts(self) -> tuple[int, int, int]:
        return self.count("stocks_real_time"), self.count("rejected_ticks"), self.count("import_files")

    def count(self, relation: str) -> int:
        row = self.connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
        assert row is not None
        return int(row[0])

    def summary(self, result: ImportResult) -> tuple[int, int, int, int]:
        record = result.record
        return record.rows, record.stored, record.duplicates, record.rejected


@pytest.fixture
def desk(connection: Connection, settings: Settings, tmp_path: Path) -> Desk:
    return Desk(connection, settings, tmp_path)
