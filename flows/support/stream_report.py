"""A log line and an updated artifact about the feed that a run streams, every minute."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import httpx
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException

from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.errors import TransientError
from candleworks.processes import stopped_within
from candleworks.storage.monitoring import FeedState, read_monitoring
from candleworks.threads import unless_stopped

INTERVAL_SECONDS = 60
FIRST_SECONDS = 10

log = logging.getLogger("candleworks.flows")


@dataclass(frozen=True)
class FeedSample:
    """A feed's counters at one time of the database's clock."""

    at: datetime
    state: FeedState

    def since(self, before: "FeedSample") -> str:
        """Return one line about the time since then."""
        seconds = max(1.0, (self.at - before.at).total_seconds())
        ticks = self.state.ticks - before.state.ticks
        return (
            f"{self.state.feed}: {ticks / seconds:,.1f} ticks/s ({ticks:,} in {seconds:,.0f} s),"
            f" lag p50 {_ms(self.state.lag_ms_p50)} p99 {_ms(self.state.lag_ms_p99)},"
            f" {self.state.spool_depth or 0:,} queued, gaps: {self.state.gaps_open} open,"
            f" {self.state.gaps_unfilled} unfilled"
        )

    def table(self, before: "FeedSample") -> str:
        """Return a Markdown table of rates, lag and gaps."""
        seconds = max(1.0, (self.at - before.at).total_seconds())
        now, then = self.state, before.state
        rows = {
            "as of": f"{self.at:%Y-%m-%d %H:%M:%S} UTC",
            "ticks per second": f"{(now.ticks - then.ticks) / seconds:,.1f}",
            "ticks stored in total": f"{now.ticks:,}",
            "lag from arrival to commit, p50 / p99": f"{_ms(now.lag_ms_p50)} / {_ms(now.lag_ms_p99)}",
            "ticks queued for the database": f"{now.spool_depth or 0:,}",
            "duplicates / rejected / reconnects": f"{now.duplicates:,} / {now.rejected:,} / {now.reconnects:,}",
            "gaps open / unfilled": f"{now.gaps_open:,} / {now.gaps_unfilled:,}",
        }
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


async def report_feed(feed: str, dsn: str, stop: asyncio.Event) -> None:
    """Log and show the state of the feed until the stop; outages of the database or the server are skipped."""
    artifact = _FeedArtifact(f"feed-{feed}")
    before: FeedSample | None = None
    wait = FIRST_SECONDS
    while not await stopped_within(stop, wait):
        with contextlib.suppress(TransientError):
            now = await unless_stopped(stop, _read, feed, dsn)
            if now and before:
                log.info("%s", now.since(before))
                await artifact.show(now.table(before))
                wait = INTERVAL_SECONDS
            before = now or before


class _FeedArtifact:
    """The artifact of one run; it is created once and then updated, since Prefect keeps every version of a key."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._id: UUID | None = None

    async def show(self, text: str) -> None:
        with contextlib.suppress(httpx.HTTPError, PrefectException):  # the next minute tries again
            async with get_client(httpx_settings={"timeout": 5}) as client:
                if self._id is None:
                    artifact = Artifact(key=self._key, type="markdown", description="State of the feed", data=text)
                    self._id = (await artifact.acreate(client)).id
                else:
                    await client.update_artifact(self._id, ArtifactUpdate(data=text))


def _read(feed: str, dsn: str) -> FeedSample | None:
    with transient_errors(dsn), connect(dsn, "flow report", profile=READER) as connection:
        seen = read_monitoring(connection)
    return next((FeedSample(seen.now, state) for state in seen.feeds if state.feed == feed), None)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
