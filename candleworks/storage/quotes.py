"""Stores quotes: by COPY where they are new, by comparing multisets where they may meet stored ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import errors

from candleworks.database.connection import Connection
from candleworks.database.copy import COPY_QUOTES
from candleworks.database.queries import query
from candleworks.model.trades import moment_of
from candleworks.storage.quote_bars import remove_quote_bars
from candleworks.storage.trades import WEEK_US, Meeting, merged


@dataclass(frozen=True)
class QuoteStore:
    """Writes quotes through one connection; ordinals count within `resolution_us`, the step of the vendor's stamps."""

    connection: Connection
    resolution_us: int

    def prepare(self, stamps_us: Sequence[int]) -> None:
        """Make room for quotes of these moments; call it outside the transaction that writes them."""
        for week in sorted({stamp // WEEK_US for stamp in stamps_us}):
            first = moment_of(week * WEEK_US)
            self.connection.execute(
                "SELECT candleworks.prepare_quotes(%s, %s)", [first, first + timedelta(days=7, microseconds=-1)]
            )

    def within(self, spans: Mapping[str, tuple[datetime, datetime]]) -> set[str]:
        """Return the symbols that have a stored quote in their own range [start, stop)."""
        starts, stops = zip(*spans.values(), strict=True)
        found = self.connection.execute(
            query("quotes_within"), {"symbols": list(spans), "starts": list(starts), "stops": list(stops)}
        ).fetchall()
        return {symbol for (symbol,) in found}

    def copy_all(self, streams: Iterable[bytes]) -> bool:
        """Insert COPY streams, all of them, or none and return False when one of their quotes is stored."""
        try:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                for stream in streams:
                    with cursor.copy(COPY_QUOTES) as copy:
                        copy.write(stream)
        except errors.UniqueViolation:
            return False
        return True

    def replace_bars(self, spans: Mapping[str, tuple[datetime, datetime]]) -> None:
        """Remove the bars around stored quotes of each symbol's range."""
        remove_quote_bars(self.connection, [(symbol, first, last) for symbol, (first, last) in spans.items()])

    def merge_staged(self, stage: Callable[[], int]) -> Meeting:
        """Insert those quotes that the table does not have yet, behind those it has.

        `stage` copies them into staged_quotes, together with known ones of the same stamps that this process stored
        earlier, and returns how many are not known.
        """
        return merged(self.connection, lambda: self._merge_staged(stage))

    def _merge_staged(self, stage: Callable[[], int]) -> Meeting:
        self.connection.execute(query("create_quote_staging"))
        self.connection.execute("TRUNCATE staged_quotes")  # the transaction may have merged before
        count = stage()
        row = self.connection.execute(
            query("insert_surplus_quotes"), {"resolution": timedelta(microseconds=self.resolution_us)}
        ).fetchone()
        spans = self.connection.execute(
            query("staged_quote_extents"), {"resolution": timedelta(microseconds=self.resolution_us)}
        ).fetchall()
        remove_quote_bars(self.connection, spans)
        stored, refused = row or (0, None)
        return Meeting(stored, count - stored - len(refused or ()), tuple(refused or ()))
