"""`candleworks status`: what the database holds, and how current it is."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candleworks.cli.console import AsJson
from candleworks.database.connection import describe
from candleworks.runtime.database import reading
from candleworks.settings import load_settings
from candleworks.storage.backfills import UnfinishedBackfill, unfinished_backfills
from candleworks.storage.inspection import Inspection, inspect
from candleworks.storage.monitoring import LatestTrade, Monitoring, RefusedSymbol, read_monitoring, read_status
from candleworks.wording import counted, size

SHOWN_SYMBOLS = 40
COUNTS = ("ticks", "batches", "duplicates", "rejected", "reconnects", "quotes", "duplicate_quotes", "rejected_quotes")


def status(as_json: AsJson = False) -> None:
    """Show the state of database, feeds and symbols."""
    settings = load_settings()
    with reading(settings, "status") as connection:
        monitoring = read_monitoring(connection)
        symbols = {state.feed: () for state in monitoring.feeds} | {feed.name: feed.names for feed in settings.feeds}
        found = read_status(connection, symbols)
        inspection = inspect(connection)
        histories = unfinished_backfills(connection)
        server = describe(connection.info.dsn)
    found["feeds"] = _with_monitoring(found["feeds"], monitoring)
    found["symbols"] = [dataclasses.asdict(symbol) for symbol in monitoring.symbols]
    if as_json:
        unfinished = [history._asdict() for history in histories]
        plain = {"database": server, **found, **dataclasses.asdict(inspection), "backfills": unfinished}
        typer.echo(json.dumps(plain, default=str))
        return
    console = Console()
    console.print(
        _facts({"database": server, **_database_facts(inspection), **_totals(found), **_history_facts(histories)})
    )
    console.print(_levels(inspection), _relations(inspection))
    for table in _feed_tables(found["feeds"], monitoring):
        console.print(table)


def _facts(facts: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(name, escape(str(value)))
    return table


def _database_facts(inspection: Inspection) -> dict[str, Any]:
    extension = inspection.timescaledb_version
    return {
        "server version": inspection.server_version,
        "engine": f"{inspection.engine} - {inspection.engine_reason}",
        "TimescaleDB": f"{extension}, licence {inspection.timescaledb_licence}" if extension else "not installed",
        "pending refresh": counted(inspection.pending, "changed range", "changed ranges"),
    }


def _totals(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "ticks": f"{found['ticks_stored']:,} stored, {found['rejected_ticks']:,} rejected",
        "size": size(found["database_bytes"]),
    }


def _history_facts(histories: Sequence[UnfinishedBackfill]) -> dict[str, Any]:
    """Say in a line how many histories are not complete, and how far all of those reach that are being loaded."""
    if not histories:
        return {}
    counts = Counter(history.outcome for history in histories)
    reached = [history.fetched_from for history in histories if history.outcome == "loading" and history.fetched_from]
    so_far = f", back to {max(reached):%Y-%m-%d %H:%M} UTC" if reached else ""
    return {"backfill": ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items()) + so_far}


def _levels(inspection: Inspection) -> Table:
    table = Table("candles", "stored until (UTC)", "refresh lag")
    for state in inspection.levels:
        until = f"{state.watermark:%Y-%m-%d %H:%M}" if state.watermark else "-"
        table.add_row(state.level, until, f"{state.lag_seconds:,.0f} s" if state.lag_seconds else "-")
    return table


def _relations(inspection: Inspection) -> Table:
    table = Table("relation", "size", "compression")
    for relation in inspection.relations:
        table.add_row(relation.name, size(relation.bytes), f"{relation.ratio:.1f} x" if relation.ratio else "-")
    return table


def _with_monitoring(feeds: Sequence[dict[str, Any]], monitoring: Monitoring) -> list[dict[str, Any]]:
    """Add totals, gaps and refused symbols to each feed's latest ten seconds.

    A feed that never reported, but has gaps or refused symbols, has only these.
    """
    latest = {feed["feed"]: feed for feed in feeds}
    refused: dict[str, list[dict[str, Any]]] = {}
    for each in monitoring.refused:
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
        for state in monitoring.feeds
    ]


def _feed_tables(feeds: Sequence[dict[str, Any]], monitoring: Monitoring) -> Iterator[Table | str]:
    if not feeds:
        yield "No feed has run yet."
        return
    yield _feeds(feeds)
    if monitoring.symbols:
        yield _symbols(monitoring.symbols)
    if len(monitoring.symbols) > SHOWN_SYMBOLS:
        yield f"and {len(monitoring.symbols) - SHOWN_SYMBOLS:,} more symbols: see --json"
    if monitoring.refused:
        yield _refused(monitoring.refused)


def _feeds(feeds: Sequence[dict[str, Any]]) -> Table:
    """Lay out a column per feed: a row per feed would be wider than a terminal."""
    table = Table("feed", *(feed["feed"] for feed in feeds))
    if any(feed["stopped_at"] for feed in feeds):
        table.add_row("stopped by an operator", *(_time(feed["stopped_at"]) for feed in feeds))
        table.add_row("stop reason", *(feed["stop_reason"] or "-" for feed in feeds), end_section=True)
    table.add_row("latest 10 s", *(_time(feed.get("at")) for feed in feeds))
    for name in COUNTS:
        table.add_row(name.replace("_", " "), *(_number(feed.get(name)) for feed in feeds))
    for name in ("p50", "p99", "max"):
        lags = (feed.get(f"lag_ms_{name}") for feed in feeds)
        table.add_row(f"lag {name}", *("-" if lag is None else f"{lag:,.0f} ms" for lag in lags))
    table.add_row("queued", *(_number(feed.get("spool_depth")) for feed in feeds), end_section=True)
    table.add_row("total since", *(_time(feed["since"]) for feed in feeds))
    for name in COUNTS:
        table.add_row(name.replace("_", " "), *(_number(feed["totals"][name]) for feed in feeds))
    table.add_row("gaps open", *(_number(feed["gaps_open"]) for feed in feeds))
    table.add_row("gaps unfilled", *(_number(feed["gaps_unfilled"]) for feed in feeds))
    table.add_row("refused symbols", *(_number(len(feed["refused"])) for feed in feeds))
    return table


def _symbols(symbols: Sequence[LatestTrade]) -> Table:
    """Show the symbols that have been silent longest first."""
    table = Table("symbol", "last tick (UTC)", "age")
    for symbol in sorted(symbols, key=lambda symbol: -symbol.age_seconds)[:SHOWN_SYMBOLS]:
        table.add_row(symbol.symbol, f"{symbol.last_tick:%Y-%m-%d %H:%M:%S}", _age(symbol.age_seconds))
    return table


def _refused(refused: Sequence[RefusedSymbol]) -> Table:
    table = Table("refused symbol", "feed", "since (UTC)", "reason")
    for each in refused:
        table.add_row(each.symbol, each.feed, f"{each.since:%Y-%m-%d %H:%M}", each.reason or "-")
    return table


def _time(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _age(seconds: float) -> str:
    for unit, width in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * width:
            return f"{seconds / width:,.0f} {unit}"
    return f"{seconds:,.0f} s"
