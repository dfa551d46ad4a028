"""What `up` shows while it runs: a table that renews itself, or plain lines where the output is no terminal."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from candleworks import clock

PLAIN_INTERVAL_SECONDS = 10


class LiveStatus:
    """Shows states as returned by `read_status`; a context manager."""

    def __init__(self, heading: Sequence[str]) -> None:
        self._heading = heading
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._shown_at = -float(PLAIN_INTERVAL_SECONDS)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            for line in self._heading:
                self.say(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(line), soft_wrap=True)

    def show(self, status: dict[str, Any], notes: Sequence[str]) -> None:
        if self._live:
            self._live.update(Group(*map(Text, self._heading), _table(status), *map(Text, notes)), refresh=True)
        elif clock.monotonic() - self._shown_at >= PLAIN_INTERVAL_SECONDS:
            self._shown_at = clock.monotonic()
            for line in (*_plain(status), *notes):
                self.say(line)


def _table(status: dict[str, Any]) -> Table:
    table = Table(caption=_totals(status), caption_justify="left")
    for name in ("feed", "ticks/s", "last tick", "lag p50", "lag p99", "waiting", "duplicates", "rejected"):
        table.add_column(name, justify="left" if name in ("feed", "last tick") else "right")
    for feed in status["feeds"]:
        table.add_row(
            feed["feed"],
            _rate(feed),
            _last_tick(feed),
            _milliseconds(feed["lag_ms_p50"]),
            _milliseconds(feed["lag_ms_p99"]),
            f"{feed['spool_depth']:,}",
            f"{feed['duplicates']:,}",
            f"{feed['rejected']:,}",
        )
    return table


def _plain(status: dict[str, Any]) -> list[str]:
    feeds = [
        f"{feed['feed']}: {_rate(feed)} ticks/s, last {_last_tick(feed)},"
        f" lag p50 {_milliseconds(feed['lag_ms_p50'])} p99 {_milliseconds(feed['lag_ms_p99'])}"
        for feed in status["feeds"]
    ]
    return [*feeds, _totals(status)]


def _totals(status: dict[str, Any]) -> str:
    return (
        f"{status['ticks_stored']:,} ticks stored, {status['candles_refreshed']:,} candles refreshed in a minute,"
        f" {status['rejected_ticks']:,} ticks rejected"
    )


def _rate(feed: dict[str, Any]) -> str:
    return f"{feed['ticks'] / max(1.0, min(10.0, feed['age_seconds'])):,.1f}"


def _last_tick(feed: dict[str, Any]) -> str:
    if feed.get("last_time") is None:
        return "none yet"
    moment: datetime = feed["last_time"]
    return f"{feed['last_symbol']} {feed['last_price']:g} at {moment:%H:%M:%S}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
