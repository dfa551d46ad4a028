"""Everything a person can configure, read once into one frozen object.

The YAML file says what the platform does (feeds, symbols, thresholds); environment variables say what differs per
machine (addresses, ports, secrets).
"""

from candleworks.settings.feeds import Feed, Instrument
from candleworks.settings.loading import CONFIG_FILE, CONFIG_VARIABLE, ENVIRONMENT, load_settings
from candleworks.settings.model import Settings
from candleworks.settings.quality import (
    CandleQuality,
    CandleThresholds,
    Quality,
    SystemQuality,
    TickQuality,
    TickThresholds,
)
from candleworks.settings.sections import (
    Alerts,
    Calendars,
    Candles,
    CompressAfterDays,
    Ingest,
    Rest,
    RetentionDays,
    SilenceLimits,
    Simulator,
    Storage,
    WatchdogLimits,
    Web,
)
from candleworks.settings.value_types import (
    BUILT_IN_CALENDARS,
    DEFAULT_SYMBOLS,
    VENDOR_FEED_URL,
    VENDOR_REST_URL,
    SymbolClass,
)

__all__ = [
    "BUILT_IN_CALENDARS",
    "CONFIG_FILE",
    "CONFIG_VARIABLE",
    "DEFAULT_SYMBOLS",
    "ENVIRONMENT",
    "VENDOR_FEED_URL",
    "VENDOR_REST_URL",
    "Alerts",
    "Calendars",
    "CandleQuality",
    "CandleThresholds",
    "Candles",
    "CompressAfterDays",
    "Feed",
    "Ingest",
    "Instrument",
    "Quality",
    "Rest",
    "RetentionDays",
    "Settings",
    "SilenceLimits",
    "Simulator",
    "Storage",
    "SymbolClass",
    "SystemQuality",
    "TickQuality",
    "TickThresholds",
    "WatchdogLimits",
    "Web",
    "load_settings",
]
