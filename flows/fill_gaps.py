"""Fills what feeds have missed."""

from prefect import flow, get_run_logger
from pydantic import AwareDatetime

from candleworks.cli.opening import prepared
from candleworks.history.gap_fill import fill_gaps as fill
from candleworks.settings import load_settings
from flows.support.events import tell
from flows.support.reports import Progress, table
from flows.support.results import fill_row


@flow(name="fill-gaps", flow_run_name="fill gaps", timeout_seconds=6 * 3600)
def fill_gaps(feed: str | None = None, symbol: str | None = None, since: AwareDatetime | None = None) -> dict[str, int]:
    """Fetch the minutes of closed gaps from the vendor, within the budget of credits, and store them as bars.

    Args:
        feed: Only the gaps of this feed.
        symbol: Only the gaps of this symbol.
        since: Only gaps that ended later.
    """
    settings = load_settings()
    progress = Progress("fill-gaps", "symbols of gaps")
    with prepared(settings) as dsn:
        report = fill(
            settings,
            dsn,
            feed=feed,
            symbol=symbol,
            since=since,
            notify=tell,
            progress=lambda at: progress(at.done, at.symbols, f"({at.now})"),
        )
    if report.fills:
        table("fill-gaps", [fill_row(each) for each in report.fills], "Gaps filled")
    if report.stopped:
        get_run_logger().warning("stopped: %s", report.stopped)
    outcomes = [each.outcome for each in report.fills]
    counts = {name: outcomes.count(name) for name in ("filled", "empty", "failed")} | {"credits": report.credits}
    get_run_logger().info("%s", counts)
    return counts
