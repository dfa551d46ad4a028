"""Our side of the live path: what `candleworks ingest` runs, without its command line.

Usage: python -m bench.candleworks_client DSN FEED_URL SYMBOLS
"""

import asyncio
import signal
import sys

from candleworks.feed.service import ingest
from candleworks.settings import Feed, load_settings


async def _run(dsn: str, feed_url: str, symbols: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = load_settings({}).model_copy(update={"feed_url": feed_url})
    await ingest(settings, Feed(symbols=tuple(symbols.split(","))), dsn, stop=stop)


def main(dsn: str, feed_url: str, symbols: str) -> None:
    """Stream until SIGTERM, then commit what was received."""
    asyncio.run(_run(dsn, feed_url, symbols))


if __name__ == "__main__":
    main(*sys.argv[1:])
