"""Streams a feed until it is stopped."""

from prefect import flow
from prefect.client.schemas.objects import State

from candleworks.feed.api_key import check_key
from candleworks.runtime.database import migrated_or_later
from candleworks.settings import load_settings
from flows.support.stream_run import refusal, stream


@flow(name="stream-ticks", flow_run_name="stream {feed}")
async def stream_ticks(feed: str) -> State:
    """Stream a feed's ticks and keep its candles up to date, until the run is cancelled or suspended.

    Args:
        feed: Name of a feed in candleworks.yaml. A feed is streamed by one process at a time.
    """
    async with refusal(feed) as refused:
        settings = load_settings()
        chosen = settings.feed(feed)
        check_key(settings, [chosen])
        with migrated_or_later(settings) as (dsn, prepare_later):
            return await stream(settings, chosen, dsn, prepare_later)
    return refused.state
