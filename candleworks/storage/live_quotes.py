"""Stores quotes of a feed: by COPY, or by a merge with stored quotes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from candleworks.database.connection import Connection
from candleworks.database.copy import COPY_QUOTES, encode_quotes
from candleworks.model.quotes import Quotes
from candleworks.model.trades import MICROSECONDS, Rejection, moment_of
from candleworks.storage.inserted_ticks import QUOTE, begin_inserts, inserted_ticks, log_inserts
from candleworks.storage.quotes import QuotePosition, QuoteStore
from candleworks.storage.trades import MergeResult, no_ordinal_left


@dataclass(frozen=True)
class LiveQuoteStore:
    """Writes quotes of one origin through one connection; their event times are whole seconds."""

    connection: Connection
    origin: str
    _started: set[str] = field(default_factory=set)

    @property
    def no_ordinal_left(self) -> str:
        """Why a quote is rejected whose event time has no ordinal left."""
        return no_ordinal_left(MICROSECONDS)

    @property
    def _store(self) -> QuoteStore:
        return QuoteStore(self.connection, MICROSECONDS)

    def prepare(self, event_times_us: Sequence[int]) -> None:
        """Create partitions for quotes of these times; call it outside the transaction that writes them."""
        self._store.prepare(event_times_us)

    def positions(self, symbols: Sequence[str]) -> dict[str, QuotePosition]:
        """Return the position of each symbol; symbols without quotes are left out."""
        return self._store.positions(symbols)

    def rejection(self, quotes: Quotes, index: int, reason: str) -> Rejection:
        """Return the rejection of a quote that the database refused, with its tick as it arrived."""
        frame = quotes.payload[index].decode(errors="replace")
        return Rejection(quotes.received_us[index], f"quote: {reason}", frame, "quote")

    def copy(self, quotes: Quotes) -> None:
        """Insert quotes that are new; UniqueViolation when one of them is not."""
        begin_inserts(self.connection)
        with self.connection.cursor() as cursor, cursor.copy(COPY_QUOTES) as copy:
            copy.write(encode_quotes(quotes, self.origin))
        log_inserts(self.connection, QUOTE, inserted_ticks(quotes))
        self._replace_bars(quotes)

    def _replace_bars(self, quotes: Quotes) -> None:
        """Remove the bar around a symbol's first quote; later bars are not imported where quotes are stored."""
        first = {
            symbol: moment_of(event_us)
            for symbol, event_us in zip(reversed(quotes.symbol), reversed(quotes.event_us), strict=True)
            if symbol not in self._started
        }
        if first:
            self._store.replace_bars({symbol: (time, time) for symbol, time in first.items()})
            self._started.update(first)

    def merge(self, quotes: Quotes, known: Quotes) -> MergeResult:
        """Insert the quotes that are not stored yet, with ordinals after the stored ones; see `TradeStore.merge`."""
        return self._store.merge_staged(lambda: self._stage(quotes, known))

    def _stage(self, quotes: Quotes, known: Quotes) -> int:
        with self.connection.cursor() as cursor, cursor.copy("COPY staged_quotes FROM STDIN") as copy:
            for part, is_known in ((known, True), (quotes, False)):
                for index in range(len(part)):
                    arrival = index - len(known) if is_known else index
                    copy.write_row(self._staged_row(part, index, arrival, is_known=is_known))
        return len(quotes)

    def _staged_row(self, quotes: Quotes, index: int, arrival: int, *, is_known: bool) -> list[object]:
        return [
            arrival,
            is_known,
            moment_of(quotes.event_us[index]),
            quotes.symbol[index],
            quotes.bid[index],
            quotes.ask[index],
            None,
            None,
            moment_of(quotes.received_us[index]),
            self.origin,
        ]
