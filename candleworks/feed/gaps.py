"""The gap book of one feed: opens a gap when ticks may be missed, closes it on recovery."""

import logging
from collections.abc import Callable

from candleworks import clock
from candleworks.model.gaps import GapNote, Reason, Stop
from candleworks.model.notices import Notice, Notify
from candleworks.model.trades import MICROSECONDS, moment_of

HEARD_BEFORE_US = 5 * MICROSECONDS  # what was sent this long before the last sign of life has arrived
CALM_US = 5 * MICROSECONDS

log = logging.getLogger(__name__)


class GapBook:
    """`put` takes the notes, which reach the database in the order of the ticks around them."""

    def __init__(self, feed: str, put: Callable[[GapNote], None], notify: Notify) -> None:
        self._feed = feed
        self._put = put
        self._notify = notify
        self._open: dict[str | None, Reason] = {}
        self._heard_us: int | None = None
        self._stamp_us: int | None = None
        self._slowed_us = 0

    def started(self) -> None:
        """Note that the feed begins; the database finds what the last run left open, or behind it in a crash."""
        self._put(GapNote("started", clock.now_us()))
        self._open[None] = "crashed"

    def heard(self, received_us: int, stamp_us: int | None = None) -> None:
        """Note a sign of life of the connection, and the stamp of a tick that came."""
        self._heard_us = received_us
        if stamp_us is not None and stamp_us <= received_us + MICROSECONDS:
            self._stamp_us = max(self._stamp_us or 0, stamp_us)

    @property
    def last_good_us(self) -> int | None:
        """The second from which ticks may be missing if the feed ended now; null when none came since the start."""
        heard = self._heard_us - HEARD_BEFORE_US if self._heard_us is not None else None
        known = max(filter(None, (self._stamp_us, heard)), default=None)
        return known and known // MICROSECONDS * MICROSECONDS

    def lost(self, reason: Reason, since_us: int | None = None) -> None:
        """Open the gap of all symbols, by default from the last sign of life on."""
        self._begin(None, self.last_good_us if since_us is None else since_us // MICROSECONDS * MICROSECONDS, reason)

    def stopped(self, stop: Stop) -> None:
        """Open the gap of an orderly end, and note why it ends."""
        self.lost("stopped")
        self._put(GapNote("stopped", clock.now_us(), None, "stopped", stop))

    def slowed(self, now_us: int) -> None:
        """Note that memory and disk are full and the feed is not read: the vendor may drop what it cannot send."""
        self._slowed_us = now_us
        self.lost("overflow")

    def settle(self, now_us: int) -> None:
        """Close the gap of slow times once they are over for good; to be called every second or so."""
        if self.reason == "overflow" and now_us - self._slowed_us > CALM_US:
            self.recovered(self._slowed_us)

    def recovered(self, received_us: int) -> None:
        """Close the gap of all symbols: from the second after this one on everything arrives."""
        self._end(None, received_us // MICROSECONDS * MICROSECONDS + MICROSECONDS)

    @property
    def reason(self) -> Reason | None:
        """Why the gap of all symbols is open; null when it is not."""
        return self._open.get(None)

    @property
    def silent(self) -> set[str]:
        """The symbols that have a gap of their own."""
        return {symbol for symbol in self._open if symbol is not None}

    def fell_silent(self, symbol: str, since_us: int) -> None:
        self._begin(symbol, since_us // MICROSECONDS * MICROSECONDS, "silent")

    def spoke(self, symbol: str, at_us: int) -> None:
        self._end(symbol, at_us)

    def _begin(self, symbol: str | None, at_us: int | None, reason: Reason) -> None:
        if self._open.get(symbol, "crashed") != "crashed":  # whether there was a crash, only the database knows
            return
        self._open[symbol] = reason
        self._put(GapNote("opened", at_us, symbol, reason))
        since = _text(at_us) or "the last stored tick"
        level = logging.DEBUG if reason in ("stopped", "closed", "dropped") else logging.WARNING  # or it has been said
        log.log(level, "Feed %s: a gap begins (%s%s) from %s on.", self._feed, reason, _of(symbol), since)
        self._tell("feed.gap-opened", symbol, {"reason": reason, "started_at": _text(at_us)})

    def _end(self, symbol: str | None, at_us: int) -> None:
        if (reason := self._open.pop(symbol, None)) is None:
            return
        self._put(GapNote("closed", at_us, symbol, reason))
        if reason == "crashed":
            return
        log.info("Feed %s: the gap ends (%s%s) at %s.", self._feed, reason, _of(symbol), _text(at_us))
        self._tell("feed.gap-closed", symbol, {"reason": reason, "ended_at": _text(at_us)})

    def _tell(self, name: str, symbol: str | None, facts: dict[str, str | None]) -> None:
        subject = f"{self._feed}/{symbol}" if symbol else self._feed
        self._notify(Notice(name, subject, {"feed": self._feed, "symbol": symbol, **facts}))


def _of(symbol: str | None) -> str:
    return f" of {symbol}" if symbol else ""


def _text(at_us: int | None) -> str | None:
    return None if at_us is None else moment_of(at_us).isoformat()
