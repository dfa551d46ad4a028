"""Whether a feed has a history to load, and where it begins; imports nothing that takes time, for the feeds' start."""

from datetime import datetime, timedelta

from candleworks.settings import VENDOR_FEED_URL, VENDOR_REST_URL, Feed, Settings

DAY = timedelta(days=1)


def has_history(settings: Settings, feed: Feed) -> bool:
    """Whether the REST interface serves the history of the feed: the vendor's does not for a feed from elsewhere."""
    if settings.rest_url != VENDOR_REST_URL:
        return True
    return settings.api_key is not None and (feed.url or settings.feed_url) == VENDOR_FEED_URL


def wanted_from(settings: Settings, feed: Feed, days: int | None, now: datetime) -> datetime | None:
    """Return where the history begins: at midnight, so that the first daily candle is whole; None: none is wanted."""
    count = settings.backfill_days(feed) if days is None else days
    return (now - count * DAY).replace(hour=0, minute=0, second=0, microsecond=0) if count else None
