"""Begins streams: with a snapshot, or with what a client has missed since it was here last.

Everything is read in small steps, between which the hub goes on: a client with many series holds nobody up.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from candleworks import clock
from candleworks.model.trades import microseconds_of
from candleworks.storage.stream_log import ALL_SYMBOLS, LogRow, StreamSource, TickRange
from candleworks.stream.client import MAX_WAITING_EVENTS, StreamClient, TickTopic
from candleworks.stream.events import Event, event, lagged, seconds, tick_data
from candleworks.stream.market import MAX_BATCH_TICKS, StreamedMarket
from candleworks.stream.series import SeriesKey

MAX_MISSED_ROWS = 50_000
# Candles that began to grow so long before a client left may have been closed while it was away.
CLOSING = timedelta(seconds=60)


class _Missed(NamedTuple):
    """Events that a client has missed since `since`, read when the log was at `position`."""

    since: int
    position: int
    events: list[Event]

    def serves(self, since: int, position: int, *, exactly: bool) -> bool:
        """Whether it serves a client too; a candle may be sent twice, a tick may not."""
        if exactly:
            return (self.since, self.position) == (since, position)
        return self.since <= since and self.position >= position


class _Place(NamedTuple):
    """Where a row of the log concerns a symbol; `inserted` is the number of inserted ticks, None for other changes."""

    row: LogRow
    first: datetime
    last: datetime
    inserted: int | None


class Joining:
    """The clients that wait for their beginning, in turn."""

    def __init__(self, source: StreamSource, market: StreamedMarket) -> None:
        self._source = source
        self._market = market
        self._running: deque[Iterator[None]] = deque()
        self._missed: dict[SeriesKey | TickTopic, _Missed] = {}  # for those that come back together

    def begin(self, client: StreamClient, reason: str | None) -> None:
        """Send a client its beginning; `reason` says why it is no longer up to date."""
        self._running.append(self._steps(client, client.hold(), reason))

    def forget(self) -> None:
        """Forget what is running."""
        self._running.clear()
        self._missed.clear()

    def step(self) -> bool:
        """Go one step on; False when there is nothing to do."""
        if not self._running:
            self._missed.clear()
            return False
        steps = self._running.popleft()
        if next(steps, self) is not self:
            self._running.append(steps)
        return True

    def _steps(self, client: StreamClient, since: int | None, reason: str | None) -> Iterator[None]:
        for key in client.wanted.series:
            if client.closed:
                return
            self._market.series(key)
            yield
        for name in client.wanted.topics:
            if client.closed:
                return
            self._market.newest_tick(name)
            yield
        if client.closed:
            return
        self._market.attach(client)
        notices = [lagged(reason)] if reason and since is not None else []
        if since is None:
            client.release([*notices, *self._snapshots(client)], self._market.position)
        elif not self._source.bounds().follows(since):
            notices = notices or [lagged("the log no longer has what was missed")]
            client.release([*notices, *self._snapshots(client)], self._market.position)
        else:
            yield from self._resume(client, since, notices)

    def _snapshots(self, client: StreamClient) -> list[Event]:
        series = [self._market.snapshot(key) for key in client.wanted.series]
        covered = {TickTopic(key.symbol, key.family) for key in client.wanted.series}
        return series + [self._market.tick_snapshot(name) for name in client.wanted.ticks if name not in covered]

    def _resume(self, client: StreamClient, since: int, notices: list[Event]) -> Iterator[None]:
        """Send what was committed after `since`: every tick, and every candle that changed, as it is now."""
        attached = self._market.position
        rows = [row for row in self._source.since(since - 1, MAX_MISSED_ROWS) if row.position <= attached]
        events = list(notices)
        everything: list[SeriesKey | TickTopic] = [*client.wanted.ticks, *client.wanted.series]
        for what in everything:
            if client.closed:
                return
            events += self._cached(what, since, attached, rows)
            yield
        client.release(events, attached)

    def _cached(self, what: SeriesKey | TickTopic, since: int, attached: int, rows: list[LogRow]) -> list[Event]:
        """Return what was missed of a series or of ticks, as another client has got it where that serves."""
        known = self._missed.get(what)
        if known is None or not known.serves(since, attached, exactly=isinstance(what, TickTopic)):
            position = self._market.position
            missed = [row for row in rows if row.position > since]
            if isinstance(what, TickTopic):
                known = _Missed(since, attached, self._ticks(what, missed))
            else:
                began = rows[0].committed_at if rows else clock.now()
                known = _Missed(since, position, self._candles(what, missed, began))
            self._missed[what] = known
        return known.events

    def _ticks(self, name: TickTopic, rows: list[LogRow]) -> list[Event]:
        places = [place for place in _places(name, rows) if place.inserted and place.inserted <= MAX_BATCH_TICKS]
        if sum(place.inserted or 0 for place in places) > MAX_WAITING_EVENTS:
            bounds = {"from": _seconds(places[0].first), "to": _seconds(places[-1].last)}
            return [event("reload", {"symbol": name.symbol, "period": None, **bounds})]
        ranges = [
            TickRange(name.symbol, place.first, place.last, place.row.received_first, place.row.received_last)
            for place in places
            if place.row.received_first and place.row.received_last
        ]
        batches = self._source.ticks(name.family, ranges)
        return [
            event("tick", tick_data(name.symbol, name.family, tick)) for batch in batches for tick in batch if tick.live
        ]

    def _candles(self, key: SeriesKey, rows: list[LogRow], began: datetime) -> list[Event]:
        places = list(_places(TickTopic(key.symbol, key.family), rows))
        spans = [(microseconds_of(place.first), microseconds_of(place.last)) for place in places]
        removed = any(place.row.removed for place in places)
        now = clock.now_us()
        spans.append((min(now, microseconds_of(began - CLOSING)), now))
        gaps = [event("gap", {"symbol": key.symbol})] if any(place.row.changed == "gap" for place in places) else []
        return gaps + self._market.missed(self._market.series(key), spans, removed=removed)


def _places(name: TickTopic, rows: list[LogRow]) -> Iterator[_Place]:
    """Return where rows concern ticks of a symbol, or its gaps."""
    for row in rows:
        if row.changed not in (name.family, "gap"):
            continue
        counts: Sequence[int | None] = row.counts or [None] * len(row.symbols)
        for symbol, first, last, count in zip(row.symbols, row.firsts, row.lasts, counts, strict=True):
            if symbol in (name.symbol, ALL_SYMBOLS):
                yield _Place(row, first, last, count)


def _seconds(time: datetime) -> float:
    return seconds(microseconds_of(time))
