"""What each check expects, and the first step when it fails; documentation, web page and notifications say the same."""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class RunbookEntry(NamedTuple):
    """`expects` completes "expects that ..."; `first_step` is one sentence. Both may hold Markdown's backquotes."""

    expects: str
    first_step: str


CHECK_RUNBOOK: Mapping[str, RunbookEntry] = {
    "required-fields": RunbookEntry(
        "every required column has a value", "Find out which source writes these rows: see the column `origin`."
    ),
    "price-positive": RunbookEntry("prices are above zero", "Inspect the rows, and delete those that are not trades."),
    "future-ticks": RunbookEntry(
        "no event time is ahead of the arrival of its tick", "Check the clock of this machine with `timedatectl`."
    ),
    "late-ticks": RunbookEntry(
        "no streamed tick arrives long after its event time", "Check whether the feed is delayed or sends wrong times."
    ),
    "price-jump": RunbookEntry(
        "no price is far from the recent median; names likely splits", "Compare the price with another source."
    ),
    "volume-decrease": RunbookEntry(
        "the cumulative volume of a day does not decrease",
        "Check whether the vendor restarted its total; if so, nothing has to be corrected.",
    ),
    "crossed-quotes": RunbookEntry(
        "no bid is above its ask", "Check how many ticks are affected: single ones are harmless."
    ),
    "wide-spread": RunbookEntry(
        "the spread stays within its limit while the market is open",
        "Compare the spread with another source: one side may be stale.",
    ),
    "ordinal-gaps": RunbookEntry(
        "ordinals within one event time are consecutive", "Find out which process deletes ticks."
    ),
    "duplicates": RunbookEntry("few ticks arrive twice", "Check whether two processes run the same feed."),
    "never-seen": RunbookEntry(
        "every subscribed symbol has had a tick",
        "Check the spelling of the symbol, and whether your plan includes it.",
    ),
    "freshness": RunbookEntry(
        "no subscribed symbol is silent while its market is open", "Check whether trading in the symbol is halted."
    ),
    "tick-rate": RunbookEntry(
        "as many ticks arrive as usual at this hour",
        "Compare with other symbols: either the market is quiet or the vendor throttles.",
    ),
    "candle-shape": RunbookEntry("low <= open, close <= high", "Run `candleworks candles audit --repair`."),
    "candle-levels": RunbookEntry(
        "every level follows from the level below", "Run `candleworks candles audit --repair`."
    ),
    "candle-audit": RunbookEntry("candles match their ticks (sampled)", "Run `candleworks candles audit --repair`."),
    "empty-minutes": RunbookEntry(
        "no run of empty minutes while the market is open",
        "Check whether trading in the symbol was halted; otherwise ticks are missing.",
    ),
    "vendor-bars": RunbookEntry(
        "candles match the bars of the vendor (sampled)",
        "Inspect the sample: large differences mean missing ticks, small ones are usual for thinly traded symbols.",
    ),
    "ingest-lag": RunbookEntry(
        "ticks are committed soon after they arrive",
        "Check the database: it may be slow, far away or blocked by locks.",
    ),
    "unfilled-gaps": RunbookEntry(
        "gaps are filled in time", "Run `candleworks fill-gaps`, and check that it is scheduled."
    ),
    "rejected": RunbookEntry("few ticks are rejected", "Run `candleworks rejected list` to see the reasons."),
    "refresh-lag": RunbookEntry(
        "stored candles keep up with ticks",
        "Run `candleworks candles refresh`, and check that `candleworks ingest` runs.",
    ),
    "disk": RunbookEntry(
        "enough disk space is free",
        "Free disk space, or set `storage.retention_days` and run `candleworks maintain`.",
    ),
    "retention": RunbookEntry(
        "no row is older than its retention period, and nothing else drops ticks",
        "Run `candleworks maintain`, and schedule it every night.",
    ),
    "company": RunbookEntry("subscribed stocks have a row in `company`", "Run `candleworks sync-companies`."),
    "check-run": RunbookEntry("the checks of a suite can be run", "Run `candleworks check`: it prints the reason."),
}
WATCHDOG_RUNBOOK: Mapping[str, RunbookEntry] = {
    "watch-ingest": RunbookEntry(
        "the ingest of a feed sends heartbeats", "Read the log of the feed, and start `candleworks ingest`."
    ),
    "watch-stopped": RunbookEntry(
        "no feed is stopped by an operator",
        "If you need its ticks, run the deployment of the feed in Prefect, or start `candleworks ingest`.",
    ),
    "watch-feed": RunbookEntry(
        "a feed is connected, and ticks arrive while an exchange of its symbols is open",
        "Check the status of the vendor, your API key, and `feed_symbols` for refused symbols.",
    ),
    "watch-key": RunbookEntry(
        "the vendor accepts an API key that it has accepted before",
        "Check the status of the vendor and any proxy or firewall in between, and correct the key if it was revoked.",
    ),
    "watch-spool": RunbookEntry(
        "few ticks wait for the database, and their number does not grow",
        "Check that the database is fast enough and has free disk space.",
    ),
    "watch-checks": RunbookEntry(
        "checks that were scheduled still run",
        "Check that the Prefect server and worker run, and that the flow `check-quality` succeeds.",
    ),
    "watch-part": RunbookEntry(
        "the parts of `candleworks up` keep running", "Read the log that the alert names, in CANDLEWORKS_HOME/logs."
    ),
    "watch-database": RunbookEntry("the database answers", "Start the database."),
    "watch": RunbookEntry("the state of feeds and checks can be read", "Read the log of `candleworks alerts watch`."),
}


def first_step(check: str, result: Literal["failed", "error"] = "failed") -> str | None:
    """Return the first step when a check fails or cannot be run, as plain text; null for one that is not built in."""
    if result == "error" and check in CHECK_RUNBOOK:
        check = "check-run"
    entry = {**CHECK_RUNBOOK, **WATCHDOG_RUNBOOK}.get(check)
    return entry.first_step.replace("`", "") if entry else None
