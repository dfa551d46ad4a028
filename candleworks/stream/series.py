"""The candles of one symbol, period and price side that clients follow, as far as they can still grow."""

from typing import NamedTuple

from candleworks.candles.reads import Period, rounded_price, rounded_volume
from candleworks.storage.stream_log import SeriesRead, SideCandle, StreamedTick
from candleworks.stream.buckets import Buckets
from candleworks.stream.events import Event, event, seconds

MAX_OPEN = 1_000
MAX_SHOWN = 10  # open candles in a snapshot
_NEVER = -(2**62)


class SeriesKey(NamedTuple):
    symbol: str
    period: Period
    price: str

    @property
    def family(self) -> str:
        """The kind of ticks: trade or quote."""
        return "trade" if self.price == "trade" else "quote"

    @property
    def sides(self) -> tuple[str, ...]:
        """The price sides that a candle is made of: (bid + ask) / 2 needs both."""
        return ("bid", "ask") if self.price == "mid" else (self.price,)


class OpenCandle:
    """One side of a candle that grows with the ticks of its bucket, which come in order."""

    __slots__ = ("close", "high", "low", "open", "rebuilt", "ticks", "totalled", "volume")

    def __init__(self, price: float, volume: float | None, *, totalled: bool) -> None:
        self.open = self.high = self.low = self.close = price
        self.volume = volume
        self.totalled = totalled  # whether a trade has a running total of its trading day
        self.ticks = 1
        self.rebuilt = False

    @classmethod
    def of(cls, candle: SideCandle) -> "OpenCandle":
        found = cls(candle.open, candle.volume, totalled=candle.volume_from == "day_volume")
        found.high, found.low, found.close = candle.high, candle.low, candle.close
        found.ticks, found.rebuilt = candle.ticks, candle.rebuilt
        return found

    @property
    def volume_from(self) -> str | None:
        """What the volume follows from, as candleworks.volume_source() says."""
        return None if self.volume is None else "day_volume" if self.totalled else "sizes"

    def add(self, price: float, volume: float | None, *, totalled: bool) -> None:
        self.totalled |= totalled
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        if volume is not None:
            self.volume = volume if self.volume is None else self.volume + volume
        self.ticks += 1


class OpenBucket(NamedTuple):
    """The sides of a candle that is not closed, as read at a position of the log; 0: they began with a tick."""

    sides: list[OpenCandle]
    position: int


class Series:
    """What is known of a series; `position` is the position of the log as of which it was first read.

    `changed` are the buckets that grew since they were sent, `stale` the spans [first, last] in microseconds whose
    candles have to be read from the database. `removed`: some of those candles may be gone.
    """

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self.buckets = Buckets(key.period)
        self.position = -1  # nothing was read yet
        self.open: dict[int, OpenBucket] = {}
        self.newest_closed: Event | None = None
        self.changed: set[int] = set()
        self.stale: list[tuple[int, int]] = []
        self.removed = False
        self._newest_us = _NEVER
        self._newest_closed_us = _NEVER

    @property
    def ready(self) -> bool:
        return self.position >= 0

    def start(self, read: SeriesRead) -> None:
        """Begin with the newest candles of the database."""
        self.position = read.position
        self.open.clear()
        self.changed.clear()
        self._newest_us = _NEVER if read.newest_us is None else read.newest_us
        self.replace(read, (_NEVER, _NEVER))

    def add(self, tick: StreamedTick, position: int) -> None:
        """Let the newest candle grow by a tick; what is late, or of a bar, has to be read instead."""
        if tick.of_bar and self.key.period.seconds < 60 and not self.key.period.months:
            return
        in_order = tick.us > self._newest_us
        self._newest_us = max(self._newest_us, tick.us)
        bucket = self.buckets.start(tick.us)
        known = self.open.get(bucket)
        if known and position <= known.position:
            return  # it was read from the database meanwhile
        if not in_order or tick.of_bar or not tick.live or self.buckets.of_days:
            self.stale.append((tick.us, tick.us))
        elif known:
            for candle, values in zip(known.sides, self._values(tick), strict=True):
                candle.add(*values, totalled=tick.totalled)
            self.changed.add(bucket)
        elif bucket > max(self._newest_closed_us, max(self.open, default=_NEVER)):
            self.open[bucket] = OpenBucket(
                [OpenCandle(*each, totalled=tick.totalled) for each in self._values(tick)], 0
            )
            self.changed.add(bucket)
            self._forget_oldest()
        else:
            self.stale.append((tick.us, tick.us))

    def _values(self, tick: StreamedTick) -> list[tuple[float, float | None]]:
        bid = (tick.price, tick.volume)
        if self.key.price in ("trade", "bid"):
            return [bid]
        ask = (tick.other or 0.0, tick.other_volume)
        return [ask] if self.key.price == "ask" else [bid, ask]

    def replace(self, read: SeriesRead, span: tuple[int, int]) -> list[Event]:
        """Take the candles of [start, stop) over from the database, and return them as events, oldest first."""
        for bucket in [bucket for bucket in self.open if span[0] <= bucket < span[1]]:
            del self.open[bucket]
            self.changed.discard(bucket)
        if span[0] <= self._newest_closed_us < span[1]:
            self.newest_closed = None
        events = self.events_of(read)
        for (bucket, sides), candle in zip(self._grouped(read.candles), events, strict=True):
            if sides[0].closed:
                self._remember_closed(bucket, candle)
            else:
                self.open[bucket] = _opened(sides, read.position)
        self._forget_oldest()
        return events

    def events_of(self, read: SeriesRead) -> list[Event]:
        """Return candles of the database as events."""
        return [
            self._event(bucket, _opened(sides, read.position), closed=sides[0].closed, revision=read.position)
            for bucket, sides in self._grouped(read.candles)
        ]

    def _forget_oldest(self) -> None:
        """Let candles go that nothing closes: those of a gap come again when it is settled."""
        while len(self.open) > MAX_OPEN:
            oldest = min(self.open)
            del self.open[oldest]
            self.changed.discard(oldest)

    def _grouped(self, candles: list[SideCandle]) -> list[tuple[int, list[SideCandle]]]:
        """Return the sides of each bucket that has all of them."""
        found: dict[int, dict[str, SideCandle]] = {}
        for candle in candles:
            found.setdefault(candle.bucket_us, {})[candle.price] = candle
        sides = self.key.sides
        return [(bucket, [by[side] for side in sides]) for bucket, by in sorted(found.items()) if len(by) == len(sides)]

    def grown(self, revision: int) -> list[Event]:
        """Return the candles that grew since they were sent."""
        changed, self.changed = sorted(self.changed), set()
        return [self._event(bucket, self.open[bucket], closed=False, revision=revision) for bucket in changed]

    def close(self, bucket: int, revision: int) -> Event | None:
        """Return the last event of a bucket that is over; None where it is not open."""
        known = self.open.pop(bucket, None)
        if known is None:
            return None
        self.changed.discard(bucket)
        closed = self._event(bucket, known, closed=True, revision=revision)
        self._remember_closed(bucket, closed)
        return closed

    def over(self, now_us: int) -> list[int]:
        """Return the open buckets that have ended."""
        return [bucket for bucket in self.open if self.buckets.stop(bucket) <= now_us]

    def newest(self, revision: int) -> list[Event]:
        """Return the newest closed candle, and the newest open ones."""
        closed = [self.newest_closed] if self.newest_closed else []
        return closed + [
            self._event(bucket, self.open[bucket], closed=False, revision=revision)
            for bucket in sorted(self.open)[-MAX_SHOWN:]
        ]

    def take_stale(self) -> list[tuple[int, int]]:
        """Return the spans that have to be read, and forget them."""
        stale, self.stale, self.removed = self.stale, [], False
        return stale

    def _remember_closed(self, bucket: int, closed: Event) -> None:
        if bucket >= self._newest_closed_us or self.newest_closed is None:
            self.newest_closed = closed
            self._newest_closed_us = max(bucket, self._newest_closed_us)

    def _event(self, bucket: int, known: OpenBucket, *, closed: bool, revision: int) -> Event:
        price, sides = self.key.price, known.sides
        prices = {
            name: rounded_price(self._projected([getattr(side, name) for side in sides]), price)
            for name in ("open", "high", "low", "close")
        }
        volumes = [side.volume for side in sides if side.volume is not None]
        return event(
            "candle",
            {
                "symbol": self.key.symbol,
                "period": self.key.period.name,
                "price": price,
                "time": seconds(bucket),
                **prices,
                "volume": rounded_volume(sum(volumes)) if volumes else None,
                "ticks": sides[0].ticks,
                "rebuilt": sides[0].rebuilt,
                "closed": closed,
                "volume_from": next((side.volume_from for side in sides if side.volume_from), None),
                "last_tick": None if self._newest_us == _NEVER else seconds(self._newest_us),
                "revision": max(revision, known.position),
            },
        )

    def _projected(self, values: list[float]) -> float:
        return values[0] if len(values) == 1 else (values[0] + values[1]) / 2


def _opened(sides: list[SideCandle], position: int) -> OpenBucket:
    return OpenBucket([OpenCandle.of(side) for side in sides], position)
