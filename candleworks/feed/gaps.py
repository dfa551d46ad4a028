"""Records the gaps of one feed: opens one when ticks may be missing, closes it on recovery."""

import logging
from collections.abc import Callable

from candleworks import clock
from candleworks.model.gaps import GapNote, Reason, Stop
from candleworks.model.notices import Notice, Notify
from candleworks.model.trades import MICROSECONDS, moment_of

TRANSIT_US = 5 * MICROSECONDS  # what was sent this long before the last traffic has arrived
CALM_US = 5 * MICROSECONDS

log = logging.getLogger(__name__)


class GapRecorder:
    """Knows which gaps are open: at most one of all symbols (None) and one per symbol.

    `put` queues the notes, so that they reach the database in order with the ticks around them.
    """

    def __init__(self, feed: str, put: Callable[[GapNote], None], notify: Notify) -> None:
        self._feed = feed
        self._put = put
        self._notify = notify
        self._open: dict[str | None, Reason] = {}
        self._received_us: int | None = None
        self._event_time_us: int | None = None
        self._paused_us = 0

    def started(self) -> None:
        """Note that the feed starts; the database knows what the last run left open, or whether it crashed."""
        self._put(GapNote("started", clock.now_us()))
        self._open[None] = "crashed"

    def stopped(self, stop: Stop) -> None:
        """Open the gap of an orderly end, and note its reason."""
        self.open_gap("stopped")
        self._put(GapNote("stopped", clock.now_us(), None, "stopped", stop))

    def traffic(self, received_us: int, event_time_us: int | None = None) -> None:
        """Note that something arrived, and the event time of a tick; an event time in the future is ignored."""
        self._received_us = received_us
        if event_time_us is not None and event_time_us <= received_us + MICROSECONDS:
            self._event_time_us = max(self._event_time_us or 0, event_time_us)

    @property
    def complete_until_us(self) -> int | None:
        """The second from which ticks may be missing if the feed ended now; null when nothing came since the start."""
        arrived = self._received_us - TRANSIT_US if self._received_us is not None else None
        known = max(filter(None, (self._event_time_us, arrived)), default=None)
        return known and _second(known)

    @property
    def open_reason(self) -> Reason | None:
        """The reason of the open gap of all symbols; null when there is none."""
        return self._open.get(None)

    @property
    def silent_symbols(self) -> set[str]:
        """The symbols with an open gap of their own."""
        return {symbol for symbol in self._open if symbol is not None}

    def open_gap(self, reason: Reason, since_us: int | None = None) -> None:
        """Open the gap of all symbols, by default from the last traffic on."""
        self._open_of(None, self.complete_until_us if since_us is None else _second(since_us), reason)

    def close_gap(self, received_us: int) -> None:
        """Close the gap of all symbols: from the second after this one everything arrives."""
        self._close_of(None, _second(received_us) + MICROSECONDS)

    def open_symbol_gap(self, symbol: str, since_us: int) -> None:
        """Open a silent symbol's gap."""
        self._open_of(symbol, _second(since_us), "silent")

    def close_symbol_gap(self, symbol: str, at_us: int) -> None:
        """Close a symbol's gap: it ticks again, or its market closed."""
        self._close_of(symbol, at_us)

    def reading_paused(self, now_us: int) -> None:
        """Note that memory and spool are full and the feed is not read: the vendor may drop what it cannot send."""
        self._paused_us = now_us
        self.open_gap("overflow")

    def close_ended_overflow(self, now_us: int) -> None:
        """Close the gap of pauses when the last of them is long enough ago; to be called every second or so."""
        if self.open_reason == "overflow" and now_us - self._paused_us > CALM_US:
            self.close_gap(self._paused_us)

    def _open_of(self, symbol: str | None, at_us: int | None, reason: Reason) -> None:
        if self._open.get(symbol, "crashed") != "crashed":  # only the database knows whether there was a crash
            return
        self._open[symbol] = reason
        self._put(GapNote("opened", at_us, symbol, reason))
        logged_elsewhere = reason in ("stopped", "closed", "dropped")
        log.log(
            logging.DEBUG if logged_elsewhere else logging.WARNING,
            "Feed %s: recorded a gap (%s) from %s.",
            self._feed, _described(symbol, reason), _iso(at_us) or "the last stored tick",
        )  # fmt: skip
        self._send_notice("feed.gap-opened", symbol, {"reason": reason, "started_at": _iso(at_us)})

    def _close_of(self, symbol: str | None, at_us: int) -> None:
        if (reason := self._open.pop(symbol, None)) is None:
            return
        self._put(GapNote("closed", at_us, symbol, reason))
        if reason == "crashed":
            return
        log.info("Feed %s: closed the gap (%s) at %s.", self._feed, _described(symbol, reason), _iso(at_us))
        self._send_notice("feed.gap-closed", symbol, {"reason": reason, "ended_at": _iso(at_us)})

    def _send_notice(self, name: str, symbol: str | None, facts: dict[str, str | None]) -> None:
        subject = f"{self._feed}/{symbol}" if symbol else self._feed
        self._notify(Notice(name, subject, {"feed": self._feed, "symbol": symbol, **facts}))


def _second(us: int) -> int:
    """Round microseconds down to the full second."""
    return us // MICROSECONDS * MICROSECONDS


def _described(symbol: str | None, reason: Reason) -> str:
    return f"{symbol} {reason}" if symbol else reason


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else moment_of(at_us).isoformat()
