"""Accounts for every tick that was sent: stored once, inside a booked gap, or in the quarantine."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from candleworks.candles.audit import audit
from candleworks.database.connection import Connection
from tests.feed.streaming import Quote, Trade, quotes_of, read_journal, stored, stored_quotes, trades_of

Gap = tuple[str | None, datetime, datetime | None]
Part = TypeVar("Part", Trade, Quote)


class Account(NamedTuple):
    """How many ticks were sent, and what became of them; `open` gaps are none after recovery."""

    sent: int
    stored: int
    in_gaps: int
    rejected: int
    gaps: int


@dataclass(frozen=True)
class Ledger:
    """What a simulator's journal says against what a database holds."""

    journal: Path
    connection: Connection

    def account(self) -> Account:
        """Count; AssertionError when a tick is stored that was not sent, twice, or is missing without a word."""
        journal = read_journal(self.journal)
        sent = trades_of(journal)
        kept = stored(self.connection)
        assert kept <= sent, f"stored, but never sent so often: {list((kept - sent).items())[:5]}"
        gaps = self._gaps()
        rejected = self._rejected(_trade)
        missing = sent - kept
        quarantined = missing & rejected
        unexplained = {trade: count for trade, count in (missing - quarantined).items() if not _within(trade, gaps)}
        assert not unexplained, f"{sum(unexplained.values())} lost: {_examples(unexplained)}, gaps: {_spans(gaps)}"
        in_gaps = sum(missing.values()) - sum(quarantined.values())
        self._account_for_quotes(quotes_of(journal), gaps)
        return Account(sum(sent.values()), sum(kept.values()), in_gaps, sum(quarantined.values()), len(gaps))

    def _account_for_quotes(self, sent: Counter[Quote], gaps: list[Gap]) -> None:
        """They share the fate of their ticks, and their candles are those of what is stored."""
        kept = stored_quotes(self.connection)
        assert kept <= sent, f"stored, but never sent so often: {list((kept - sent).items())[:5]}"
        missing = sent - kept - self._rejected(_quote)
        unexplained = {quote: count for quote, count in missing.items() if not _within(quote, gaps)}
        assert not unexplained, f"{sum(unexplained.values())} quotes lost: {list(unexplained)[:5]}"
        assert audit(self.connection, None, None).differences == []
        counted = self.connection.execute(
            "SELECT symbol, sum(ticks)::bigint FROM quote_candles_1d GROUP BY 1"
        ).fetchall()
        assert dict(counted) == Counter(quote.symbol for quote in kept.elements())

    def _gaps(self) -> list[Gap]:
        return self.connection.execute("SELECT symbol, started_at, ended_at FROM feed_gaps ORDER BY id").fetchall()

    def _rejected(self, part: Callable[[Any], Part]) -> Counter[Part]:
        """Count the trades or the quotes of rejected ticks, as far as they can be read."""
        parts: Counter[Part] = Counter()
        for (payload,) in self.connection.execute("SELECT payload FROM rejected_ticks").fetchall():
            with suppress(ValueError, KeyError, TypeError):
                parts[part(json.loads(payload))] += 1
        return parts


def _trade(event: Any) -> Trade:
    return Trade(event["symbol"], event["timestamp"], event["price"], event.get("day_volume"))


def _quote(event: Any) -> Quote:
    return Quote(event["symbol"], event["timestamp"], event["bid"], event["ask"])


def _within(trade: Trade | Quote, gaps: list[Gap]) -> bool:
    moment = datetime.fromtimestamp(trade.event_time, UTC)
    return any(
        symbol in (None, trade.symbol) and start <= moment and (end is None or moment <= end)
        for symbol, start, end in gaps
    )


def _examples(trades: dict[Trade, int]) -> str:
    some = list(trades)[:4]
    return ", ".join(f"{t.symbol} {datetime.fromtimestamp(t.event_time, UTC):%H:%M:%S} {t.price}" for t in some)


def _spans(gaps: list[Gap]) -> str:
    return ", ".join(
        f"{symbol or 'all'} {start:%H:%M:%S.%f}-{end:%H:%M:%S.%f}" if end else f"{symbol or 'all'} {start:%H:%M:%S.%f}-"
        for symbol, start, end in gaps[-6:]
    )
