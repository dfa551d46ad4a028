"""Our side of the live path: what `candleworks ingest` runs, without its command line.

Usage: python -m bench.candleworks_client DSN FEED_URL SYMBOLS [FLUSH_INTERVAL_MS]
"""

import asyncio
import signal
import sys

from candleworks.ingest.service import ingest
from candleworks.settings import Feed, Ingest, load_settings


async def _run(dsn: str, feed_url: str, symbols: str, flush_interval_ms: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    changes = {"feed_url": feed_url, "ingest": Ingest(flush_interval_ms=flush_interval_ms)}
    settings = load_settings({}).model_copy(update=changes)
    await ingest(settings, Feed(symbols=tuple(symbols.split(","))), dsn, stop=stop)


def main(dsn: str, feed_url: str, symbols: str, flush_interval_ms: str = "") -> None:
    """Stream until SIGTERM, then commit what was received."""
    interval_ms = int(flush_interval_ms) if flush_interval_ms else Ingest().flush_interval_ms
    asyncio.run(_run(dsn, feed_url, symbols, interval_ms))


if __name__ == "__main__":
    main(*sys.argv[1:])
