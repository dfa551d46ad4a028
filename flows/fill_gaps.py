"""Fills gaps of the feeds."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import AwareDatetime

from candleworks.gapfill.fill import fill_gaps as fill
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from flows.support.artifacts import ProgressArtifact, emit, table
from flows.support.results import fill_row, fill_sentence
from flows.support.run_states import completed, explained, failed


@flow(name="fill-gaps", flow_run_name="fill gaps", timeout_seconds=6 * 3600)
@explained
def fill_gaps(feed: str | None = None, symbol: str | None = None, since: AwareDatetime | None = None) -> State[Any]:
    """Fill closed gaps with one-minute bars from the vendor, within the limits on API credits.

    Args:
        feed: Only the gaps of this feed.
        symbol: Only the gaps of this symbol.
        since: Only gaps that ended after this time.
    """
    settings = load_settings()
    progress = ProgressArtifact("fill-gaps", "symbols of gaps")
    with prepared(settings) as dsn:
        report = fill(
            settings,
            dsn,
            feed=feed,
            symbol=symbol,
            since=since,
            notify=emit,
            progress=lambda at: progress(at.done, at.symbols, f"({at.now})"),
        )
    message = fill_sentence(report)
    if report.fills:
        table("fill-gaps", [fill_row(each) for each in report.fills], message)
    return completed(message) if report.complete else failed(message)
