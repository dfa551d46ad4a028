"""What to do first about an alert: one sentence per check, with which the page of the check begins its advice too."""

from collections.abc import Mapping

FIRST_STEPS: Mapping[str, str] = {
    "required-fields": "Look at `origin` of the rows to see who writes them.",
    "price-positive": "Look at the rows, and delete those that are no trades.",
    "stamp-future": "Check this machine's clock with `timedatectl`.",
    "stamp-old": "Look at the ticks: is the feed delayed, or are they wrong?",
    "price-jump": "Compare the price with another source.",
    "volume-back": "Look whether the vendor restarted its total: then there is nothing to mend.",
    "crossed-quotes": "Look how many ticks it is: single ones are harmless.",
    "wide-spread": "Compare the spread with another source: is one side stale?",
    "ordinal-holes": "Find out who deletes ticks.",
    "duplicates": "Look whether two processes run the same feed.",
    "feed-silent": "Run `candleworks status`: does the ingest run, and what does its log say?",
    "never-seen": "Check the spelling of the symbol, and whether your plan includes it.",
    "freshness": "Check whether the symbol is halted; many symbols at once mean that their feed is silent.",
    "tick-rate": "Compare with other symbols: is the market quiet, or does the vendor throttle?",
    "candle-shape": "Run `candleworks candles audit --repair`.",
    "candle-levels": "Run `candleworks candles audit --repair`.",
    "candle-audit": "Run `candleworks candles audit --repair`.",
    "empty-minutes": "Check whether the symbol was halted; otherwise ticks were lost.",
    "vendor-bars": "Look at the sample: large differences mean missed ticks, small ones are usual for thin symbols.",
    "ingest-lag": "Check whether the database is slow, distant or locked.",
    "spool": "Check that the database runs and has free disk space: the spool empties by itself.",
    "open-gaps": "Read the log of the feed if it is down; otherwise run `candleworks fill-gaps`.",
    "rejected": "Run `candleworks rejected list` to see why.",
    "refresh-lag": "Run `candleworks candles refresh`, and check that `candleworks ingest` runs.",
    "disk": "Free disk space, or set `storage.retention_days` and run `candleworks maintain`.",
    "retention": "Run `candleworks maintain`, and schedule it every night.",
    "company": "Run `candleworks sync-companies`.",
    "check-run": "Run `candleworks check`: it prints why no check can run.",
    "watch-ingest": "Read the log of the feed, and start `candleworks ingest` or `candleworks up`.",
    "watch-stopped": "Start the feed when its ticks are wanted: run its deployment in Prefect, or `candleworks up`.",
    "watch-feed": "Check that the vendor is up, that the key is valid, and that `feed_symbols` shows no refusals.",
    "watch-spool": "Check whether the database is slow and whether its disk is full.",
    "watch-checks": "Check that Prefect's server and worker run, and that the flow `check-quality` does not fail.",
    "watch-database": "Start the database.",
    "watch": "Read the log of `candleworks alerts watch`.",
}


def first_step(check: str) -> str | None:
    """Return what to do first when a check fails, as plain text; None for a check that is not ours."""
    sentence = FIRST_STEPS.get(check)
    return sentence.replace("`", "") if sentence else None
