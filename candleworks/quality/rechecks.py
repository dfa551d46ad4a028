"""What failed before, and where it is looked at again."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from candleworks.storage.quality import Objects, Span, Trouble

EMPTY_SYMBOL = "(empty)"  # the subject that stands for a symbol without a name
DAY = timedelta(days=1)


def spans(troubles: Iterable[Trouble]) -> Objects:
    """Return the times to look at again as rows of (symbol, start, stop); those of a symbol do not overlap."""
    return Objects(
        {"symbol": symbol_of(trouble.subject), "start": start.isoformat(), "stop": stop.isoformat()}
        for trouble in troubles
        for start, stop in trouble.times or ()
    )


def symbol_of(subject: str) -> str:
    return "" if subject == EMPTY_SYMBOL else subject


def pieces(troubles: Iterable[Trouble]) -> list[dict[str, Any]]:
    """Return the same as whole UTC days of several symbols, which hold whole candles of every level."""
    symbols: dict[Span, set[str]] = {}
    for trouble in troubles:
        for days in _days(trouble.times or ()):
            symbols.setdefault(days, set()).add(symbol_of(trouble.subject))
    return [piece(names, start, stop) for (start, stop), names in sorted(symbols.items())]


def piece(symbols: Iterable[str], start: datetime, stop: datetime) -> dict[str, Any]:
    """A part of the history of some symbols."""
    return {"symbols": sorted(symbols), "start": start.isoformat(), "stop": stop.isoformat()}


def midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days(times: Sequence[Span]) -> list[Span]:
    """Widen times to whole days; what touches becomes one."""
    found: list[Span] = []
    for start, stop in sorted(times):
        first, after = midnight(start), midnight(stop - timedelta(microseconds=1)) + DAY
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(after, found[-1][1]))
        else:
            found.append((first, after))
    return found
