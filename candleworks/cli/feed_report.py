"""What `status` says about feeds and their symbols."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from candleworks.storage.monitoring import Monitoring, RefusedSymbol, SymbolState

SHOWN_SYMBOLS = 40
COUNTS = ("ticks", "batches", "duplicates", "rejected", "reconnects")


def with_monitoring(feeds: Sequence[dict[str, Any]], watched: Monitoring) -> list[dict[str, Any]]:
    """Add totals, gaps and refusals to what each feed did in its latest ten seconds.

    A feed that never reported, but has gaps or refused symbols, is there with these alone.
    """
    latest = {feed["feed"]: feed for feed in feeds}
    refused: dict[str, list[dict[str, Any]]] = {}
    for each in watched.refused:
        refused.setdefault(each.feed, []).append(dataclasses.asdict(each))
    return [
        {
            **latest.get(state.feed, {"feed": state.feed}),
            "since": state.since,
            "totals": {name: getattr(state, name) for name in (*COUNTS, "candles")},
            "gaps_open": state.gaps_open,
            "gaps_unfilled": state.gaps_unfilled,
            "stopped_at": state.stopped_at,
            "stop_reason": state.stop_reason,
            "refused": refused.get(state.feed, []),
        }
        for state in watched.feeds
    ]


def feed_tables(feeds: Sequence[dict[str, Any]], watched: Monitoring) -> Iterator[Table | str]:
    """Yield what there is to show: feeds, symbols, refusals; or that there is nothing."""
    if not feeds:
        yield "No feed has run yet."
        return
    yield _feeds(feeds)
    if watched.symbols:
        yield _symbols(watched.symbols)
    if len(watched.symbols) > SHOWN_SYMBOLS:
        yield f"and {len(watched.symbols) - SHOWN_SYMBOLS:,} more symbols, all in --json"
    if watched.refused:
        yield _refused(watched.refused)


def _feeds(feeds: Sequence[dict[str, Any]]) -> Table:
    """Lay out a column per feed: so many rows of values are wider than a terminal."""
    table = Table("feed", *(feed["feed"] for feed in feeds))
    if any(feed["stopped_at"] for feed in feeds):
        table.add_row("stopped by an operator", *(_moment(feed["stopped_at"]) for feed in feeds))
        table.add_row("how", *(feed["stop_reason"] or "-" for feed in feeds), end_section=True)
    table.add_row("ten seconds since", *(_moment(feed.get("at")) for feed in feeds))
    for name in COUNTS:
        table.add_row(name, *(_number(feed.get(name)) for feed in feeds))
    for name in ("p50", "p99", "max"):
        lags = (feed.get(f"lag_ms_{name}") for feed in feeds)
        table.add_row(f"lag {name}", *("-" if lag is None else f"{lag:,.0f} ms" for lag in lags))
    table.add_row("waiting", *(_number(feed.get("spool_depth")) for feed in feeds), end_section=True)
    table.add_row("in all since", *(_moment(feed["since"]) for feed in feeds))
    for name in COUNTS:
        table.add_row(name, *(_number(feed["totals"][name]) for feed in feeds))
    table.add_row("gaps open", *(_number(feed["gaps_open"]) for feed in feeds))
    table.add_row("gaps unfilled", *(_number(feed["gaps_unfilled"]) for feed in feeds))
    table.add_row("refused symbols", *(_number(len(feed["refused"])) for feed in feeds))
    return table


def _symbols(symbols: Sequence[SymbolState]) -> Table:
    """Show the most silent ones first: they are what one looks for."""
    table = Table("symbol", "last tick (UTC)", "age")
    for symbol in sorted(symbols, key=lambda symbol: -symbol.age_seconds)[:SHOWN_SYMBOLS]:
        table.add_row(symbol.symbol, f"{symbol.last_tick:%Y-%m-%d %H:%M:%S}", _age(symbol.age_seconds))
    return table


def _refused(refused: Sequence[RefusedSymbol]) -> Table:
    table = Table("refused symbol", "feed", "since (UTC)", "reason")
    for each in refused:
        table.add_row(each.symbol, each.feed, f"{each.since:%Y-%m-%d %H:%M}", each.reason or "-")
    return table


def _moment(moment: Any) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _age(seconds: float) -> str:
    for unit, width in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * width:
            return f"{seconds / width:,.0f} {unit}"
    return f"{seconds:,.0f} s"
