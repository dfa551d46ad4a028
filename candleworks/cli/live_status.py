"""What `up` shows while it runs: a table that is updated in place on a terminal, otherwise plain lines."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from candleworks import clock
from candleworks.cli.console import lasting_console

PLAIN_INTERVAL_SECONDS = 10
QUIET_INTERVAL_SECONDS = 60  # while no feed is streaming
RATE_SECONDS = 10
DATABASE_UNAVAILABLE = "The database is not responding."


class LiveStatus:
    """Shows what read_status() returns; a context manager."""

    def __init__(self, heading: Sequence[str]) -> None:
        self._heading = heading
        self._console = lasting_console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._feeds: defaultdict[str, _FeedLine] = defaultdict(_FeedLine)
        self._unprinted: list[str] = []
        self._totals: list[str] = []
        self._notes: list[str] = []
        self._streaming_due_at = 0.0
        self._quiet_due_at = clock.monotonic() + QUIET_INTERVAL_SECONDS

    def __enter__(self) -> Self:
        for line in self._heading:
            self.say(line)
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        self._print_lines()

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(line), soft_wrap=True)

    def show(self, status: dict[str, Any] | None, notes: Sequence[str]) -> None:
        """Update the table, or print lines: at once when the notes change, otherwise at intervals.

        `status` is None while the database is unavailable.
        """
        now = clock.monotonic()
        if status is None:
            notes = [*notes, DATABASE_UNAVAILABLE]
        else:
            self._totals = [_totals(status)] if status["feeds"] or status["ticks_stored"] else []
            for state in status["feeds"]:
                self._feeds[state["feed"]].update(state, now)
        if self._live:
            lines = (Text(line, overflow="ellipsis", no_wrap=True) for line in (*self._totals, *notes))
            self._live.update(Group("", _table(self._feeds.values()), *lines), refresh=True)
        else:
            self._unprinted = [*map(_plain, self._feeds.values()), *self._totals, *notes]
            self._print_when_due(now, notes)

    def _print_when_due(self, now: float, notes: Sequence[str]) -> None:
        streaming = any(feed.rate is not None for feed in self._feeds.values())
        due = now >= (self._streaming_due_at if streaming else self._quiet_due_at)
        if due or list(notes) != self._notes:
            self._notes = list(notes)
            self._streaming_due_at = now + PLAIN_INTERVAL_SECONDS
            self._quiet_due_at = now + QUIET_INTERVAL_SECONDS
            self._print_lines()

    def _print_lines(self) -> None:
        for line in self._unprinted:
            self.say(line)
        self._unprinted = []


@dataclass
class _FeedLine:
    """One feed's state as shown; what the current ten seconds do not contain yet is kept from the previous ones."""

    state: dict[str, Any] = field(default_factory=dict)
    _points: deque[tuple[float, int]] = field(default_factory=deque)
    _total: int = 0

    def update(self, state: dict[str, Any], now: float) -> None:
        if self.state:
            before = 0 if state["at"] == self.state["at"] else state["ticks_before"]
            self._total += max(0, before + state["ticks"] - self.state["ticks"])
        if not self._total:
            self._points.clear()
        while len(self._points) > 1 and now - self._points[1][0] >= RATE_SECONDS:
            self._points.popleft()
        self._points.append((now, self._total))
        if state["lag_ms_p50"] is None:
            state |= {name: self.state.get(name) for name in ("lag_ms_p50", "lag_ms_p99")}
        self.state = state

    @property
    def name(self) -> str:
        name: str = self.state["feed"]
        return name

    @property
    def rate(self) -> float | None:
        """Ticks per second; None until the first ones arrive."""
        (began, before), (now, total) = self._points[0], self._points[-1]
        return (total - before) / (now - began) if now > began else None

    @property
    def rate_text(self) -> str:
        return "-" if self.rate is None else f"{self.rate:,.1f}"

    @property
    def last_tick(self) -> str:
        if self.state["last_time"] is None:
            return "none yet"
        time: datetime = self.state["last_time"]
        return f"{self.state['last_symbol']} {self.state['last_price']:.10g} at {time:%H:%M:%S}"

    def lag(self, name: str) -> str:
        value = self.state[f"lag_ms_{name}"]
        return "-" if value is None else f"{value:,.0f} ms"


def _table(feeds: Iterable[_FeedLine]) -> Table:
    """Lay out one line per feed; it fits into 80 columns with an ordinary symbol."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("feed", no_wrap=True, max_width=16)
    table.add_column("ticks/s", justify="right", no_wrap=True)
    table.add_column("last tick", no_wrap=True, min_width=28)
    for name in ("lag p50", "lag p99", "queued"):
        table.add_column(name, justify="right", no_wrap=True, min_width=7)
    for feed in feeds:
        queued = f"{feed.state['spool_depth']:,}"
        table.add_row(feed.name, feed.rate_text, feed.last_tick, feed.lag("p50"), feed.lag("p99"), queued)
    return table


def _plain(feed: _FeedLine) -> str:
    return (
        f"{feed.name}: {feed.rate_text} ticks/s, last {feed.last_tick}, lag p50 {feed.lag('p50')} p99 {feed.lag('p99')}"
    )


def _totals(status: dict[str, Any]) -> str:
    return (
        f"{status['ticks_stored']:,} ticks stored, {status['rejected_ticks']:,} rejected;"
        f" {status['candles_refreshed']:,} candles refreshed in the last minute"
    )
