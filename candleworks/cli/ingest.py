"""`candleworks ingest`: streams the feeds."""

import asyncio
from typing import Annotated

import typer

from candleworks.cli.console import Duration, complete_feed
from candleworks.feed.api_key import check_key
from candleworks.processes import log_to_stderr
from candleworks.runtime.database import migrated_or_later
from candleworks.runtime.streaming import stream_feeds
from candleworks.settings import load_settings


def ingest(
    feed: Annotated[
        str | None, typer.Option(help="Only this feed of the configuration.", autocompletion=complete_feed)
    ] = None,
    duration: Duration = None,
) -> None:
    """Stream ticks and keep candles up to date.

    SIGHUP reloads the configuration: symbols are subscribed and unsubscribed without reconnecting.
    """
    settings = load_settings()
    chosen = settings.feeds if feed is None else (settings.feed(feed),)
    check_key(settings, chosen)
    log_to_stderr(settings.log_level)
    with migrated_or_later(settings) as (dsn, migrate_later):
        asyncio.run(stream_feeds(settings, chosen, dsn, duration, migrate_later))
