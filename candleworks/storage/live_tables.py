"""The live write path: one transaction per batch, and one bad row never loses its batch.

A batch with a duplicate is merged. A row that the database refuses is found by halving the batch, and recorded as
rejected; the rest is stored. What cannot be recorded is handed to `unrecorded`. Trades and quotes are written alike.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from candleworks.database.connection import Connection
from candleworks.model.quotes import Quotes
from candleworks.model.tick_columns import TickColumns
from candleworks.model.trades import Rejection, Trades
from candleworks.storage.live_quotes import LiveQuoteStore
from candleworks.storage.rejected import REFUSALS, quarantine, refusal_reason
from candleworks.storage.trades import WEEK_US, MergeResult, TradeStore

REMEMBERED_TICKS = 100_000
# Takes a rejected tick that the database refuses to record, and its reason; it must keep it before it returns.
Unrecorded = Callable[[Rejection, str], None]
Columns = TypeVar("Columns", bound=TickColumns)
AnyColumns_contra = TypeVar("AnyColumns_contra", bound=TickColumns, contravariant=True)


@dataclass(slots=True)
class Written:
    """What became of a batch's trades, or of its quotes."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0

    def add(self, other: "Written") -> None:
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.rejected += other.rejected


@dataclass(slots=True)
class WrittenBatch:
    """The result of a batch: every tick is counted once among the trades, and its quote once among the quotes."""

    trades: Written = field(default_factory=Written)
    quotes: Written = field(default_factory=Written)

    def add(self, other: "WrittenBatch") -> None:
        self.trades.add(other.trades)
        self.quotes.add(other.quotes)


class LivePart(NamedTuple, Generic[Columns]):
    """Trades or quotes of a batch: `ticks` continue their symbols, `late` are merged with stored ones."""

    ticks: Columns
    late: Columns
    rejections: Sequence[Rejection] = ()


@dataclass
class RecentTicks(Generic[Columns]):
    """The latest ticks stored by this process, by batch; they distinguish repeated prices from repeated deliveries."""

    batches: deque[Columns] = field(default_factory=deque)
    count: int = 0

    def remember(self, ticks: Columns) -> None:
        """Remember a batch, and drop the oldest ones beyond REMEMBERED_TICKS."""
        if not ticks:
            return
        self.batches.append(ticks.identified())
        self.count += len(ticks)
        while self.count > REMEMBERED_TICKS and len(self.batches) > 1:
            self.count -= len(self.batches.popleft())

    def of_same_times(self, ticks: Columns) -> Columns:
        """Return the remembered ticks with the (symbol, event time) pairs of `ticks`, in arrival order."""
        wanted = set(zip(ticks.symbol, ticks.event_us, strict=True))
        oldest = min(ticks.event_us)
        found = type(ticks)()
        for batch in self.batches:
            if max(batch.event_us, default=0) < oldest:
                continue
            for index, key in enumerate(zip(batch.symbol, batch.event_us, strict=True)):
                if key in wanted:
                    found.extend(batch.part(index, index + 1))
        return found

    def followed_by(self, ticks: Columns) -> "RecentTicks[Columns]":
        """Return a copy that has stored `ticks` as well."""
        return RecentTicks(deque([*self.batches, ticks]))


@dataclass
class Recent:
    """What this process stored last, of either table."""

    trades: RecentTicks[Trades] = field(default_factory=RecentTicks)
    quotes: RecentTicks[Quotes] = field(default_factory=RecentTicks)


class LiveStore(Protocol[AnyColumns_contra]):
    """What stores the trades or the quotes of a feed."""

    @property
    def connection(self) -> Connection: ...
    @property
    def no_ordinal_left(self) -> str: ...
    def prepare(self, event_times_us: Sequence[int], /) -> None: ...
    def copy(self, ticks: AnyColumns_contra, /) -> None: ...
    def merge(self, ticks: AnyColumns_contra, known: AnyColumns_contra, /) -> MergeResult: ...
    def rejection(self, ticks: AnyColumns_contra, index: int, reason: str, /) -> Rejection: ...


class LiveTable(Generic[Columns]):
    """Writes one feed's trades or quotes through `store`, as parts of the caller's transaction."""

    def __init__(
        self, store: LiveStore[Columns], feed: str, recent: RecentTicks[Columns], unrecorded: Unrecorded
    ) -> None:
        self._store = store
        self._feed = feed
        self._recent = recent
        self._unrecorded = unrecorded
        self._prepared_weeks: set[int] = set()

    def prepare(self, part: LivePart[Columns], *, again: bool = False) -> None:
        """Create missing partitions; `again`: even those that were created before."""
        if again:
            self._prepared_weeks.clear()
        for ticks in (part.ticks, part.late):
            weeks = {event_time // WEEK_US for event_time in ticks.event_us} - self._prepared_weeks
            if weeks:
                self._store.prepare([week * WEEK_US for week in weeks])
                self._prepared_weeks |= weeks

    def remember(self, part: LivePart[Columns]) -> None:
        """Remember what was committed."""
        self._recent.remember(part.ticks)
        self._recent.remember(part.late)

    def write_at_once(self, part: LivePart[Columns]) -> Written:
        if part.ticks:
            self._store.copy(part.ticks)
        written = Written(len(part.ticks), 0, len(part.rejections))
        if part.late:
            self._merge(part.late, self._recent.followed_by(part.ticks), written)
        self._quarantine(part.rejections)
        return written

    def merge_all(self, part: LivePart[Columns]) -> Written:
        written = Written(rejected=len(part.rejections))
        for ticks, recent in ((part.ticks, self._recent), (part.late, self._recent.followed_by(part.ticks))):
            if ticks:
                self._merge(ticks, recent, written)
        self._quarantine(part.rejections)
        return written

    def isolate_all(self, part: LivePart[Columns]) -> Written:
        written = Written(rejected=len(part.rejections))
        for rejection in part.rejections:
            self._quarantine_alone(rejection)
        self._isolate(part.ticks, self._recent, written)
        self._isolate(part.late, self._recent.followed_by(part.ticks), written)
        return written

    def _isolate(self, ticks: Columns, recent: RecentTicks[Columns], written: Written) -> None:
        """Merge by halves; a single tick that the database refuses is recorded as rejected."""
        if not ticks:
            return
        try:
            with self._store.connection.transaction():
                self._merge(ticks, recent, written)
        except REFUSALS as error:
            if len(ticks) == 1:
                self._quarantine_alone(self._store.rejection(ticks, 0, refusal_reason(error)))
                written.rejected += 1
                return
            middle = len(ticks) // 2
            first = ticks.part(0, middle)
            self._isolate(first, recent, written)
            self._isolate(ticks.part(middle, len(ticks)), recent.followed_by(first), written)

    def _merge(self, ticks: Columns, recent: RecentTicks[Columns], written: Written) -> None:
        result = self._store.merge(ticks, recent.of_same_times(ticks))
        self._quarantine([self._store.rejection(ticks, at, self._store.no_ordinal_left) for at in result.rejected])
        written.add(Written(result.stored, result.duplicates, len(result.rejected)))

    def _quarantine(self, rejections: Sequence[Rejection]) -> None:
        quarantine(self._store.connection, self._feed, rejections)

    def _quarantine_alone(self, rejection: Rejection) -> None:
        try:
            with self._store.connection.transaction():
                self._quarantine([rejection])
        except REFUSALS as error:
            self._unrecorded(rejection, refusal_reason(error))


class LiveTables:
    """Writes one feed's batches; the connection of the stores is in autocommit mode."""

    def __init__(
        self, trades: TradeStore, quotes: LiveQuoteStore, feed: str, recent: Recent, unrecorded: Unrecorded
    ) -> None:
        self._connection = trades.connection
        self._trades = LiveTable(trades, feed, recent.trades, unrecorded)
        self._quotes = LiveTable(quotes, feed, recent.quotes, unrecorded)

    def write(
        self, trades: LivePart[Trades], quotes: LivePart[Quotes], besides: Callable[[], None] = lambda: None
    ) -> WrittenBatch:
        """Commit a batch. Idempotent; `besides` runs in the same transaction."""
        self._trades.prepare(trades)
        self._quotes.prepare(quotes)
        for attempt in (self._write_at_once, self._merge_all, self._isolate_all):
            try:
                with self._connection.transaction():
                    written = attempt(trades, quotes)
                    besides()
                break
            except REFUSALS:
                if attempt == self._isolate_all:
                    raise
                self._trades.prepare(trades, again=True)
                self._quotes.prepare(quotes, again=True)
        self._trades.remember(trades)
        self._quotes.remember(quotes)
        return written

    def _write_at_once(self, trades: LivePart[Trades], quotes: LivePart[Quotes]) -> WrittenBatch:
        return WrittenBatch(self._trades.write_at_once(trades), self._quotes.write_at_once(quotes))

    def _merge_all(self, trades: LivePart[Trades], quotes: LivePart[Quotes]) -> WrittenBatch:
        return WrittenBatch(self._trades.merge_all(trades), self._quotes.merge_all(quotes))

    def _isolate_all(self, trades: LivePart[Trades], quotes: LivePart[Quotes]) -> WrittenBatch:
        return WrittenBatch(self._trades.isolate_all(trades), self._quotes.isolate_all(quotes))
