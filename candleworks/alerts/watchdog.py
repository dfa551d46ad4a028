"""What the watchdog looks at: whether checks run, and each feed's ingest lives, gets ticks, and can store them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Literal

from candleworks.database.connection import Connection
from candleworks.model.alerts import Result, Severity
from candleworks.settings import Settings, Watch
from candleworks.storage.liveness import CheckSigns, FeedSigns, check_signs, feed_signs
from candleworks.wording import counted

WINDOW_SECONDS = 10  # of a row of ingest_stats
GROWING_WINDOWS = 7  # a minute of ever more
FEW = 1_000  # ticks that may wait without a word
SCHEDULED_STRETCHES = 6  # of twelve: whoever runs checks by hand does not run them so regularly
# What its alerts mean, for those who follow their links.
MEANINGS = {
    "watch-ingest": "Fails when the ingest of a feed gives no sign of life.",
    "watch-stopped": "Says that a person has stopped a feed; it is resolved when the feed is started again.",
    "watch-feed": "Fails when the ingest of a feed runs, an exchange of its symbols is open, and no tick comes.",
    "watch-spool": "Fails when many ticks of a feed wait for the database, or more and more.",
    "watch-checks": "Fails when checks ran every few minutes and do so no longer.",
    "watch-database": "Fails when the database does not answer; this page is away then too.",
    "watch": "Fails when the watchdog cannot look at the feeds.",
}


def look(connection: Connection, settings: Settings, watched_since: datetime, moment: datetime) -> list[Result]:
    """Return what can be said about each configured feed, and about the checks, at a moment.

    What is not there yet is no trouble until the watch itself is as old as that may be away.
    """
    rules = settings.alerts.watch
    feeds = {feed.name: feed.names for feed in settings.feeds}
    found = feed_signs(connection, feeds, moment, timedelta(seconds=rules.feed_silent_seconds))
    results = [result for signs in found for result in judge(signs, rules, watched_since, moment)]
    checks = judge_checks(check_signs(connection, moment), rules, watched_since, moment)
    return [*results, checks] if checks else results


def judge(signs: FeedSigns, rules: Watch, watched_since: datetime, moment: datetime) -> Iterator[Result]:
    """Say what a feed's signs mean; nothing about what they do not tell.

    A feed that a person has stopped is missed by nobody: that is a note, and what its silence had raised is over.
    """
    if signs.stopped_at is not None:
        yield from _stopped(signs, rules, moment)
        return
    yield _result("watch-stopped", signs, moment, "info", False, "it was started again", None)
    away = _away_seconds(signs, moment)
    if away is None or away > rules.ingest_away_seconds:
        if (moment - watched_since).total_seconds() > rules.ingest_away_seconds:
            yield _ingest_away(signs, rules, moment, away)
        return
    yield _ingest_away(signs, rules, moment, away)
    if silent := _feed_silent(signs, rules, moment):
        yield silent
    yield _spool_growing(signs, rules, moment)


def _stopped(signs: FeedSigns, rules: Watch, moment: datetime) -> Iterator[Result]:
    observed = f"stopped at {signs.stopped_at:%Y-%m-%d %H:%M:%S} UTC: {signs.stop_reason}"
    severity: Severity
    for check, severity in (("watch-stopped", "info"), ("watch-ingest", "critical"), ("watch-feed", "critical")):
        yield _result(check, signs, moment, severity, check == "watch-stopped", observed, None)
    yield _spool_growing(signs, rules, moment)


def judge_checks(signs: CheckSigns | None, rules: Watch, watched_since: datetime, moment: datetime) -> Result | None:
    """Say whether scheduled checks go on; nothing about those that somebody runs by hand."""
    if signs is None:
        return None
    away = (moment - signs.last_run_at).total_seconds()
    failed = away > rules.checks_away_seconds
    watched = (moment - watched_since).total_seconds()
    if failed and (signs.stretches < SCHEDULED_STRETCHES or watched <= rules.checks_away_seconds):
        return None
    seen, expected = f"last run {ceil(away):,} s ago", f"at most {rules.checks_away_seconds:,} s ago"
    return Result("watch-checks", "checks", "warning", "failed" if failed else "passed", seen, expected, moment)


def _away_seconds(signs: FeedSigns, moment: datetime) -> float | None:
    return (moment - signs.last_sign_at).total_seconds() if signs.last_sign_at else None


def _ingest_away(signs: FeedSigns, rules: Watch, moment: datetime, away: float | None) -> Result:
    seen = "never" if away is None else f"{ceil(away):,} s ago"
    expected = f"at most {rules.ingest_away_seconds} s ago"
    failed = away is None or away > rules.ingest_away_seconds
    return _result("watch-ingest", signs, moment, "critical", failed, f"last sign of life {seen}", expected)


def _feed_silent(signs: FeedSigns, rules: Watch, moment: datetime) -> Result | None:
    """Judge a feed whose ingest ran all the time and whose exchanges were open, or that got ticks anyhow."""
    if not signs.ticks and (not signs.in_session or signs.windows < rules.feed_silent_seconds // WINDOW_SECONDS):
        return None
    observed = f"{counted(signs.ticks, 'tick')} in {rules.feed_silent_seconds} s"
    return _result("watch-feed", signs, moment, "critical", not signs.ticks, observed, "at least 1")


def _spool_growing(signs: FeedSigns, rules: Watch, moment: datetime) -> Result:
    depths = signs.spool_depths or [0]
    growing = (
        len(depths) == GROWING_WINDOWS
        and depths[-1] > FEW
        and all(before < after for before, after in pairwise(depths))
    )
    failed = growing or depths[-1] > rules.max_spool_depth
    observed = f"{depths[-1]:,} ticks wait for the database, {depths[-1] - depths[0]:+,} in a minute"
    expected = f"at most {rules.max_spool_depth:,}, and not more and more"
    return _result("watch-spool", signs, moment, "warning", failed, observed, expected)


def _result(
    check: str,
    signs: FeedSigns,
    moment: datetime,
    severity: Severity,
    failed: bool,
    observed: str,
    expected: str | None,
) -> Result:
    status: Literal["failed", "passed"] = "failed" if failed else "passed"
    return Result(check, f"feed/{signs.feed}", severity, status, observed, expected, moment)
