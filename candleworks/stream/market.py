"""What clients follow, as of a position of the log: series of candles, and the newest tick of each symbol."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from candleworks.model.trades import microseconds_of
from candleworks.storage.stream_log import ALL_SYMBOLS, LogRow, SeriesRead, StreamedTick, StreamSource, TickRange
from candleworks.stream.client import StreamClient, TickTopic
from candleworks.stream.events import Event, event, seconds, tick_data
from candleworks.stream.series import Series, SeriesKey

FAMILIES = ("trade", "quote")
MAX_BATCH_TICKS = 5_000  # of a symbol in one statement; more is an import, and a range
MAX_READ_CANDLES = 300  # of a series at once; more is a reload
MAX_READS = 50

Output = dict[StreamClient, list[Event]]


class Topic:
    """The ticks of a symbol: who wants them, and which series they make."""

    def __init__(self) -> None:
        self.series: dict[SeriesKey, Series] = {}
        self.users: set[StreamClient] = set()
        self.clients: set[StreamClient] = set()  # those that get events
        self.newest: StreamedTick | None = None
        self.known = False


class StreamedMarket:
    """Everything that clients follow; used by the hub's thread alone."""

    def __init__(self, source: StreamSource) -> None:
        self.position = 0
        self._source = source
        self._topics: dict[TickTopic, Topic] = {}

    def use(self, client: StreamClient) -> None:
        """Make what a client wants, so that the log is followed for it."""
        for name in client.wanted.topics:
            self._topics.setdefault(name, Topic()).users.add(client)
        for key in client.wanted.series:
            self._topics[TickTopic(key.symbol, key.family)].series.setdefault(key, Series(key))

    def attach(self, client: StreamClient) -> None:
        """Send a client what happens from now on."""
        for name in client.wanted.topics:
            self._topics[name].clients.add(client)

    def detach(self, client: StreamClient) -> None:
        for name in client.wanted.topics:
            if name in self._topics:
                self._topics[name].clients.discard(client)

    def leave(self, client: StreamClient) -> None:
        """Forget a client, and what nobody else wants."""
        self.detach(client)
        for name in client.wanted.topics & self._topics.keys():
            topic = self._topics[name]
            topic.users.discard(client)
            wanted = {key for user in topic.users for key in user.wanted.series}
            topic.series = {key: series for key, series in topic.series.items() if key in wanted}
            if not topic.users:
                del self._topics[name]

    def forget(self) -> None:
        """Forget everything that was read, and who follows it."""
        self._topics.clear()

    def series(self, key: SeriesKey) -> Series:
        """Return a series, read from the database where that was not done."""
        series = self._topics[TickTopic(key.symbol, key.family)].series[key]
        if not series.ready:
            series.start(self._source.newest_candles(key.symbol, key.period.interval, key.sides))
        return series

    def newest_tick(self, name: TickTopic) -> StreamedTick | None:
        """Return the newest tick of a symbol."""
        topic = self._topics[name]
        if not topic.known:
            topic.newest, topic.known = self._source.newest_tick(name.family, name.symbol), True
        return topic.newest

    def snapshot(self, key: SeriesKey) -> Event:
        """Return the newest candles of a series, and the newest tick of its symbol."""
        candles = [msgspec.Raw(candle.body) for candle in self.series(key).newest(self.position)]
        names = {"symbol": key.symbol, "period": key.period.name, "price": key.price}
        return event("snapshot", {**names, "candles": candles, "tick": self._tick_data(key.symbol, key.family)})

    def tick_snapshot(self, name: TickTopic) -> Event:
        """Return the newest tick of a symbol, for those who want no candles of it."""
        return event("snapshot", {"symbol": name.symbol, "tick": self._tick_data(*name)})

    def _tick_data(self, symbol: str, family: str) -> dict[str, object] | None:
        tick = self.newest_tick(TickTopic(symbol, family))
        return tick and tick_data(symbol, family, tick)

    def apply(self, rows: list[LogRow]) -> Output:
        """Follow rows of the log, and return what each client has to know."""
        output: Output = defaultdict(list)
        self._apply_ticks(rows, output)
        for row in rows:
            self._apply_ranges(row, output)
        self.position = rows[-1].position
        self._send_candles(output)
        return output

    def _apply_ticks(self, rows: list[LogRow], output: Output) -> None:
        for family in FAMILIES:
            found = [(row, *place) for row in rows if row.changed == family for place in self._batches(row)]
            ticks = self._source.ticks(family, [place for _, _, place, _ in found])
            for (row, topic, place, count), batch in zip(found, ticks, strict=True):
                self._add(topic, row, batch)
                if len(batch) != count:
                    _mark_stale(topic, row, microseconds_of(place.first), microseconds_of(place.last))
                self._send_ticks(TickTopic(place.symbol, family), batch, output)

    def _batches(self, row: LogRow) -> Iterator[tuple[Topic, TickRange, int]]:
        """Return where the ticks are that somebody follows, and how many."""
        if row.counts is None or row.received_first is None or row.received_last is None:
            return
        for symbol, first, last, count in zip(row.symbols, row.firsts, row.lasts, row.counts, strict=True):
            topic = self._topics.get(TickTopic(symbol, row.changed))
            if topic and count <= MAX_BATCH_TICKS:
                yield topic, TickRange(symbol, first, last, row.received_first, row.received_last), count

    def _add(self, topic: Topic, row: LogRow, ticks: list[StreamedTick]) -> None:
        for series in topic.series.values():
            if series.position < row.position:
                for tick in ticks if series.ready else ():
                    series.add(tick, row.position)
            elif ticks:  # it was read after this commit, but not all of its candles
                series.stale.append((ticks[0].us, ticks[-1].us))

    def _send_ticks(self, name: TickTopic, ticks: list[StreamedTick], output: Output) -> None:
        topic = self._topics[name]
        takers = [client for client in topic.clients if name in client.wanted.ticks]
        events = []
        for tick in ticks:
            late = topic.newest is not None and tick.us <= topic.newest.us
            if takers and tick.live:
                events.append(event("tick", tick_data(name.symbol, name.family, tick, late=late)))
            if topic.known and not late:
                topic.newest = tick
        if events:
            for client in takers:
                output[client] += events

    def _apply_ranges(self, row: LogRow, output: Output) -> None:
        """Note what has to be read again: ranges without ticks, and gaps, which decide what is closed."""
        bounds = zip(row.symbols, row.firsts, row.lasts, strict=True)
        for number, (symbol, first, last) in enumerate(bounds):
            if row.counts is not None and row.counts[number] <= MAX_BATCH_TICKS:
                continue
            for name, topic in self._topics_of(symbol, row.changed):
                _mark_stale(topic, row, microseconds_of(first), microseconds_of(last))
                if row.changed == "gap" and topic.clients:
                    changed = event("gap", {"symbol": name.symbol, **_span(first, last)})
                    for client in topic.clients:
                        output[client].append(changed)

    def _topics_of(self, symbol: str, changed: str) -> list[tuple[TickTopic, Topic]]:
        return [
            (name, topic)
            for name, topic in self._topics.items()
            if symbol in (name.symbol, ALL_SYMBOLS) and changed in (name.family, "gap")
        ]

    def _send_candles(self, output: Output) -> None:
        for topic in self._topics.values():
            for key, series in topic.series.items():
                if not series.ready:
                    continue
                events = series.grown(self.position) + self._read_stale(series)
                takers = [client for client in topic.clients if key in client.wanted.series] if events else []
                for client in takers:
                    output[client] += events

    def _read_stale(self, series: Series) -> list[Event]:
        """Read the candles of spans that changed otherwise than by ticks in order."""
        removed, key = series.removed, series.key
        spans = series.buckets.spans(series.take_stale())
        if not spans:
            return []
        if self._are_many(series, spans):
            series.start(self._source.newest_candles(key.symbol, key.period.interval, key.sides))
            return [self._reload(key, spans), *series.newest(self.position)]
        events = [self._reload(key, spans)] if removed else []
        for span in spans:
            events += series.replace(self._read(key, span), span)
        return events

    def missed(self, series: Series, changed: Iterable[tuple[int, int]], *, removed: bool) -> list[Event]:
        """Return the candles of spans [first, last] for one client: what others know of the series stays as it is.

        `removed`: some of them may be gone, which no candle can say.
        """
        spans = series.buckets.spans(changed)
        if self._are_many(series, spans):
            return [self._reload(series.key, spans), *series.newest(self.position)]
        events = [self._reload(series.key, spans)] if removed else []
        for span in spans:
            events += series.events_of(self._read(series.key, span))
        return events

    def _are_many(self, series: Series, spans: list[tuple[int, int]]) -> bool:
        width = sum(stop - start for start, stop in spans)
        return len(spans) > MAX_READS or width > MAX_READ_CANDLES * series.buckets.width_us

    def _read(self, key: SeriesKey, span: tuple[int, int]) -> SeriesRead:
        return self._source.candles(key.symbol, key.period.interval, key.sides, *span)

    def _reload(self, key: SeriesKey, spans: list[tuple[int, int]]) -> Event:
        names = {"symbol": key.symbol, "period": key.period.name, "price": key.price}
        bounds = {"from": seconds(spans[0][0]), "to": seconds(spans[-1][1])}
        return event("reload", {**names, **bounds, "revision": self.position})

    @property
    def any_open(self) -> bool:
        """Whether a bucket may have to be closed soon."""
        return any(series.open for topic in self._topics.values() for series in topic.series.values())

    def over(self, now_us: int) -> list[tuple[Series, int]]:
        """Return the open buckets that have ended."""
        every = (series for topic in self._topics.values() for series in topic.series.values())
        return [(series, bucket) for series in every for bucket in series.over(now_us)]

    def close(self, buckets: Iterable[tuple[Series, int]]) -> Output:
        """Close buckets, and return what each client has to know."""
        output: Output = defaultdict(list)
        for series, bucket in buckets:
            closed = series.close(bucket, self.position)
            topic = self._topics.get(TickTopic(series.key.symbol, series.key.family))
            for client in topic.clients if topic and closed else ():
                if closed and series.key in client.wanted.series:
                    output[client].append(closed)
        return output


def _mark_stale(topic: Topic, row: LogRow, first_us: int, last_us: int) -> None:
    for series in topic.series.values():
        if series.ready:
            series.stale.append((first_us, last_us))
            series.removed |= row.removed


def _span(first: datetime, last: datetime) -> dict[str, object]:
    return {"from": seconds(microseconds_of(first)), "to": seconds(microseconds_of(last))}
