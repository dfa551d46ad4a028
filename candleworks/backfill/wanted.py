"""Whether a feed has a history to load, and where it begins; imports nothing that takes time, for the feeds' start."""

from datetime import datetime, timedelta

from candleworks.settings import VENDOR_FEED_URL, VENDOR_REST_URL, Feed, Settings
from candleworks.storage.backfills import WantedHistory

DAY = timedelta(days=1)
YEAR = timedelta(days=365.25)


def has_history(settings: Settings, feed: Feed) -> bool:
    """Whether the REST interface serves the history of the feed: the vendor's does not for a feed from elsewhere."""
    if settings.rest_url != VENDOR_REST_URL:
        return True
    return settings.api_key is not None and (feed.url or settings.feed_url) == VENDOR_FEED_URL


def wanted_history(
    settings: Settings, feed: Feed, now: datetime, days: int | None = None, years: int | None = None
) -> WantedHistory:
    """Return where the history begins, at midnight UTC, so that the first daily candle is whole.

    `days` and `years` replace those of the configuration.
    """
    days = settings.backfill_days(feed) if days is None else days
    years = feed.backfill_years if years is None else years
    return WantedHistory(midnight(now - days * DAY) if days else None, midnight(now - years * YEAR) if years else None)


def midnight(time: datetime) -> datetime:
    """Return the start of the UTC day of a time."""
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
