"""Which histories are due, and how far each is to reach."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from candleworks.backfill.history import History
from candleworks.backfill.wanted import has_history, wanted_history
from candleworks.database.connection import Connection
from candleworks.errors import UsageError
from candleworks.settings import Feed, Settings
from candleworks.storage.backfills import BackfillRecord, backfill_records, due_backfills, ticks_kept_from


class BackfillRequest(NamedTuple):
    """What a person asks for: symbols, all when there are none; days and years, None for those of the configuration."""

    symbols: Sequence[str] = ()
    days: int | None = None
    feed: str | None = None
    years: int | None = None

    @property
    def is_explicit(self) -> bool:
        """Whether to try at once what failed or was refused, and to load as many days and years as asked."""
        return bool(self.symbols) or self.days is not None or self.years is not None


EVERYTHING = BackfillRequest()


def chosen_feeds(settings: Settings, request: BackfillRequest) -> list[tuple[Feed, list[str]]]:
    """Return the feeds and their symbols; UsageError for a symbol that is not configured."""
    feeds = settings.feeds if request.feed is None else (settings.feed(request.feed),)
    known = {symbol for feed in feeds for symbol in feed.names}
    if unknown := [symbol for symbol in request.symbols if symbol not in known]:
        raise UsageError(f"{unknown[0]} is not a symbol of a configured feed: add it to feeds[].symbols.")
    chosen = [(feed, [name for name in feed.names if not request.symbols or name in request.symbols]) for feed in feeds]
    return [(feed, symbols) for feed, symbols in chosen if symbols]


def due_histories(
    connection: Connection,
    settings: Settings,
    feed: Feed,
    symbols: Sequence[str],
    request: BackfillRequest,
    now: datetime,
) -> list[History]:
    """Return the histories to load, with records as they are before the first request."""
    wanted = wanted_history(settings, feed, now, request.days, request.years)
    if request.is_explicit:
        due = list(symbols)
    else:
        due = due_backfills(connection, feed.name, symbols, wanted, now) if has_history(settings, feed) else []
    if not due:
        return []
    kept = ticks_kept_from(connection)
    records = backfill_records(connection, feed.name)
    settle = timedelta(seconds=settings.rest.settle_seconds)
    found = []
    for symbol in due:
        known = records.get(symbol)
        start = _start(known, wanted.minutes_from, request, now)
        start = max(start, kept) if kept else start
        record = replace(known or BackfillRecord(feed.name, symbol, start), wanted_from=start)
        record = replace(record, daily_wanted_from=_daily_start(record, wanted.days_from, request))
        history = History(record, feed.instruments[symbol], settle, has_minutes=wanted.minutes_from is not None)
        if history.has_minutes:
            history.find_first_tick(connection)
        history.record = history.judged(history.record)
        found.append(history)
    return found


def _start(record: BackfillRecord | None, wanted: datetime | None, request: BackfillRequest, now: datetime) -> datetime:
    """Return the start of a history; an earlier one that was wanted before is kept, unless a person asks for days."""
    if wanted is None:
        return record.wanted_from if record else now
    return wanted if record is None or request.days is not None else min(wanted, record.wanted_from)


def _daily_start(record: BackfillRecord, wanted: datetime | None, request: BackfillRequest) -> datetime | None:
    """Return the start of the daily bars; an earlier one that was wanted before is kept, unless years are asked for."""
    known = record.daily_wanted_from
    if wanted is None or known is None:
        return wanted or known
    return wanted if request.years is not None else min(wanted, known)
