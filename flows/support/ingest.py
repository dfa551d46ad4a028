"""Streams a feed at once, and as a flow run once Prefect responds: `python -m flows.support.ingest FEED`.

Prefect's server, the deployment and the start of a run take 10 to 40 seconds. `up` does not wait for them: this
process streams first, without importing Prefect, and a thread of it creates the run and reports to it later. The
connection and the feed's lock stay the same, so there is no gap. docs/decisions/0038-stream-first.md has the figures.
"""

import argparse
import asyncio
import socket
import sys
import threading
import time

from candleworks.database.server import database
from candleworks.errors import CandleworksError, FeedLockedError, TerminalError
from candleworks.feed.api_key import check_key
from candleworks.processes import log_to_stderr, stop_with_parent
from candleworks.runtime.database import check_schema
from candleworks.settings import Feed, Settings, load_settings
from flows.support.early_stream import EarlyStream

REPORT_SECONDS = 8.0  # how long the run may take to report its end
POLL_SECONDS = 0.5
CONNECT_SECONDS = 1.0


async def stream(settings: Settings, feed: Feed, dsn: str) -> None:
    """Stream until a stop signal, or until the flow run that took over ends the stream; raises what ingest() does."""
    early = EarlyStream(settings, feed, dsn)
    early.start()
    reporting = threading.Thread(target=_report_to_prefect, args=[early], name="flow run", daemon=True)
    reporting.start()
    try:
        await asyncio.wrap_future(early.ended)
    finally:
        if early.has_run:
            await asyncio.to_thread(reporting.join, REPORT_SECONDS)


def _report_to_prefect(early: EarlyStream) -> None:
    """Wait for Prefect's server before Prefect is imported, which takes seconds of a processor."""
    while not _responds(early.settings):
        if early.stopping.done():
            return
        time.sleep(POLL_SECONDS)
    from flows.support.early_run import report  # noqa: PLC0415 - imports Prefect

    report(early)


def _responds(settings: Settings) -> bool:
    """Whether Prefect's server listens, which it does once its tables are there."""
    try:
        socket.create_connection(("127.0.0.1", settings.prefect_port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Stream one feed; the exit status is 1 when that needs a person to change something."""
    parser = argparse.ArgumentParser(prog="python -m flows.support.ingest", description=__doc__)
    parser.add_argument("feed", help="name of a feed in candleworks.yaml")
    stop_with_parent()
    settings = load_settings()
    log_to_stderr(settings.log_level)
    try:
        feed = settings.feed(parser.parse_args().feed)
        check_key(settings, [feed])
        with database(settings) as dsn:
            check_schema(dsn)
            asyncio.run(stream(settings, feed, dsn))
    except CandleworksError as error:
        sys.stderr.write(f"{error}\n")
        # What is temporary, or streamed by another process, is for the worker to start again.
        sys.exit(isinstance(error, TerminalError) and not isinstance(error, FeedLockedError))


if __name__ == "__main__":
    main()
