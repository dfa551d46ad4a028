"""Parameters of the SQL of the checks: thresholds of each symbol, and facts that SQL cannot see."""

import random
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from candleworks.database.connection import Connection
from candleworks.model.trading_day import AROUND_THE_CLOCK, CURRENCIES, calendar_of, zone_of
from candleworks.settings import Settings, SymbolClass
from candleworks.storage.inspection import candle_levels
from candleworks.storage.quality import Objects

SAMPLE_ROWS = 5
_CLASSES: Mapping[str, SymbolClass] = {CURRENCIES: "forex", AROUND_THE_CLOCK: "crypto"}


def class_of(symbol: str, settings: Settings) -> SymbolClass:
    """Return `forex` for symbols that follow the calendar FX, `crypto` for those around the clock, else `stock`."""
    return _CLASSES.get(calendar_of(symbol, settings.calendars), "stock")


def limits(symbols: Iterable[str], settings: Settings) -> Objects:
    """Return a row of thresholds for each symbol."""
    return Objects(_limits_of(symbol, settings) for symbol in sorted(symbols))


def _limits_of(symbol: str, settings: Settings) -> dict[str, Any]:
    calendar, kind = calendar_of(symbol, settings.calendars), class_of(symbol, settings)
    thresholds = settings.quality.ticks.of(symbol, kind).model_dump() | (
        settings.quality.candles.of(symbol, kind).model_dump()
    )
    return {
        "symbol": symbol,
        "class": kind,
        "calendar": calendar,
        "zone": str(zone_of(calendar)),
        "accept_zero_prices": settings.ingest.accept_zero_prices,
        "max_silence_seconds": settings.silence.alert_of_symbol(symbol, around_the_clock=calendar == AROUND_THE_CLOCK),
        **thresholds,
    }


def sampled(symbols: Iterable[str], count: int, at: datetime) -> list[str]:
    """Choose some symbols at random; the same for the same time."""
    return shuffled(symbols, at)[:count]


def shuffled(symbols: Iterable[str], at: datetime) -> list[str]:
    """Return symbols in random order; the same for the same time."""
    names = sorted(symbols)
    random.Random(int(at.timestamp())).shuffle(names)  # noqa: S311 - no secret
    return names


def suite_limits(settings: Settings) -> dict[str, Any]:
    """Return the thresholds that do not depend on a symbol."""
    quality = settings.quality
    return {
        "max_duplicates_percent": quality.ticks.max_duplicates_percent,
        **quality.system.model_dump(),
    }


def facts(connection: Connection, settings: Settings, until: datetime) -> dict[str, Any]:
    """Return facts that SQL cannot see: how far candles are stored, the disk, the configured retention."""
    return {
        "levels": Objects(
            {"level": state.level, "watermark": _iso(state.watermark), "lag_seconds": state.lag_seconds}
            for state in candle_levels(connection, until)
        ),
        "disk": _disk(settings),
        "retention": Objects(
            {"relation": relation, "days": days}
            for relation, days in settings.storage.retention_days.model_dump().items()
            if days is not None
        ),
        "chunk_days": max(settings.storage.chunk_interval_days, 7),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _disk(settings: Settings) -> dict[str, Any]:
    path = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    usage = shutil.disk_usage(path)
    return {"path": str(path), "free_mb": usage.free // 1_000_000, "total_mb": usage.total // 1_000_000}
