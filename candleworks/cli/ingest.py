"""`candleworks ingest`: one feed, until it is told to stop."""

import asyncio
from typing import Annotated

import typer

from candleworks.cli.opening import prepared
from candleworks.cli.running import Duration, log_to_stderr, stop_on_signal
from candleworks.errors import UsageError
from candleworks.ingest.service import ingest as run_ingest
from candleworks.settings import VENDOR_FEED_URL, Settings, load_settings


def ingest(
    feed: Annotated[str | None, typer.Option(help="Feed of the configuration; needed when it has several.")] = None,
    duration: Duration = None,
) -> None:
    """Stream a feed's ticks into the database and keep its candles up to date."""
    settings = load_settings()
    chosen = settings.feed(feed)
    _check_key(settings)
    log_to_stderr(settings)

    async def run(dsn: str) -> None:
        await run_ingest(settings, chosen, dsn, stop=stop_on_signal(duration))

    with prepared(settings) as dsn:
        asyncio.run(run(dsn))


def _check_key(settings: Settings) -> None:
    if settings.api_key is None and settings.feed_url == VENDOR_FEED_URL:
        raise UsageError(
            f"The feed {VENDOR_FEED_URL} wants a key: set TWELVEDATA_API_KEY, or start `candleworks simulate` and set"
            " CANDLEWORKS_FEED_URL to the address that it prints."
        )
