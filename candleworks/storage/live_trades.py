"""The live write path: one transaction per batch, and one bad row never loses its batch.

A batch with a duplicate is merged. A row that the database refuses is found by halving the batch, and recorded as
rejected; the rest is stored.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from candleworks.model.trades import Rejection, Trades, moment_of
from candleworks.storage.rejected import REFUSALS, quarantine, refusal_reason
from candleworks.storage.trades import WEEK_US, TradeStore

REMEMBERED_TRADES = 100_000


@dataclass(slots=True)
class Written:
    """The result of a batch, in ticks."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass
class RecentTrades:
    """The latest trades stored by this process, by batch; they distinguish repeated prices from repeated deliveries."""

    batches: deque[Trades] = field(default_factory=deque)
    count: int = 0

    def remember(self, trades: Trades) -> None:
        """Remember a batch, and drop the oldest ones beyond REMEMBERED_TRADES."""
        if not trades:
            return
        self.batches.append(trades)
        self.count += len(trades)
        while self.count > REMEMBERED_TRADES and len(self.batches) > 1:
            self.count -= len(self.batches.popleft())

    def of_same_times(self, trades: Trades) -> Trades:
        """Return the remembered trades with the (symbol, event time) pairs of `trades`, in arrival order."""
        wanted = set(zip(trades.symbol, trades.event_us, strict=True))
        oldest = min(trades.event_us)
        found = Trades()
        for batch in self.batches:
            if max(batch.event_us, default=0) < oldest:
                continue
            for index, key in enumerate(zip(batch.symbol, batch.event_us, strict=True)):
                if key in wanted:
                    found.extend(batch.part(index, index + 1))
        return found


class LiveTrades:
    """Writes one feed's batches through `store`, whose connection is in autocommit mode."""

    def __init__(self, store: TradeStore, feed: str, recent: RecentTrades) -> None:
        self._store = store
        self._feed = feed
        self._recent = recent
        self._prepared_weeks: set[int] = set()

    def write(
        self, trades: Trades, late: Trades, rejections: list[Rejection], besides: Callable[[], None] = lambda: None
    ) -> Written:
        """Commit a batch: `trades` continue their symbols, `late` are merged with stored ones. Idempotent.

        `besides` runs in the same transaction.
        """
        self._prepare(trades, late)
        for write in (self._write_at_once, self._merge_all, self._isolate_all):
            try:
                with self._store.connection.transaction():
                    written = write(trades, late, rejections)
                    besides()
                break
            except REFUSALS:
                if write == self._isolate_all:
                    raise
                self._prepared_weeks.clear()
                self._prepare(trades, late)
        self._recent.remember(trades)
        self._recent.remember(late)
        return written

    def _prepare(self, *parts: Trades) -> None:
        for part in parts:
            weeks = {event_time // WEEK_US for event_time in part.event_us} - self._prepared_weeks
            if weeks:
                self._store.prepare([week * WEEK_US for week in weeks])
                self._prepared_weeks |= weeks

    def _write_at_once(self, trades: Trades, late: Trades, rejections: list[Rejection]) -> Written:
        if trades:
            self._store.copy(trades)
        written = Written(len(trades), 0, len(rejections))
        if late:
            self._recent_merge(late, self._recent_with(trades), written)
        quarantine(self._store.connection, self._feed, rejections)
        return written

    def _merge_all(self, trades: Trades, late: Trades, rejections: list[Rejection]) -> Written:
        written = Written(rejected=len(rejections))
        for part in (trades, late):
            if part:
                self._recent_merge(part, self._recent_with(trades if part is late else Trades()), written)
        quarantine(self._store.connection, self._feed, rejections)
        return written

    def _isolate_all(self, trades: Trades, late: Trades, rejections: list[Rejection]) -> Written:
        written = Written(rejected=len(rejections))
        quarantine(self._store.connection, self._feed, rejections)
        self._isolate(trades, RecentTrades(self._recent.batches), written)
        self._isolate(late, self._recent_with(trades), written)
        return written

    def _isolate(self, trades: Trades, recent: RecentTrades, written: Written) -> None:
        """Merge by halves; a single trade that the database refuses is recorded as rejected."""
        if not trades:
            return
        try:
            with self._store.connection.transaction():
                self._recent_merge(trades, recent, written)
        except REFUSALS as error:
            if len(trades) == 1:
                quarantine(self._store.connection, self._feed, [_rejection(trades, refusal_reason(error))])
                written.rejected += 1
                return
            middle = len(trades) // 2
            first = trades.part(0, middle)
            self._isolate(first, recent, written)
            self._isolate(trades.part(middle, len(trades)), RecentTrades(deque([*recent.batches, first])), written)

    def _recent_merge(self, trades: Trades, recent: RecentTrades, written: Written) -> None:
        result = self._store.merge(trades, recent.of_same_times(trades))
        rejected = [_rejection(trades.part(at, at + 1), self._store.no_ordinal_left) for at in result.rejected]
        quarantine(self._store.connection, self._feed, rejected)
        written.stored += result.stored
        written.duplicates += result.duplicates
        written.rejected += len(rejected)

    def _recent_with(self, trades: Trades) -> RecentTrades:
        return RecentTrades(deque([*self._recent.batches, trades]))


def _rejection(trades: Trades, reason: str) -> Rejection:
    payload = (
        f"symbol={trades.symbol[0]} event_time={moment_of(trades.event_us[0]).isoformat()} price={trades.price[0]!r}"
        f" day_volume={trades.day_volume[0]!r} bid={trades.bid[0]!r} ask={trades.ask[0]!r}"
    )
    return Rejection(trades.received_us[0], reason, payload)
