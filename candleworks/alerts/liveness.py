"""Whether the ingest of each feed is alive, ticks arrive and are stored, and scheduled checks run.

Liveness, spool and silence of a feed are judged here alone; the checks of `candleworks.quality` judge symbols and rows.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from candleworks.database.connection import Connection
from candleworks.model.alerts import CheckResult, Severity
from candleworks.settings import Settings, WatchdogLimits
from candleworks.storage.liveness import CheckLiveness, FeedLiveness, check_liveness, feed_liveness
from candleworks.wording import counted

FIRST_START = 3  # times as long: a new installation starts Prefect and its worker before the first feed
STATISTICS_SECONDS = 10  # of a row of ingest_stats
GROWING_ROWS = 7  # a spool that grows for a minute
SMALL_SPOOL_TICKS = 1_000  # so few may grow
SCHEDULED_PERIODS = 6  # of twelve: checks that a person runs by hand do not run so regularly


def liveness_results(
    connection: Connection, settings: Settings, watching_since: datetime, at: datetime
) -> list[CheckResult]:
    """Return the results for each configured feed, and for the scheduled checks.

    What has never been there does not fail until the watchdog has run for as long as it may be missing.
    """
    feeds = {feed.name: feed.names for feed in settings.feeds}
    window = timedelta(seconds=settings.silence.alert_of_feed)
    found = feed_liveness(connection, feeds, at, window)
    results = [result for feed in found for result in feed_results(feed, settings, watching_since, at)]
    checks = scheduled_checks_result(check_liveness(connection, at), settings.alerts.watch, watching_since, at)
    return [*results, checks] if checks else results


def feed_results(
    feed: FeedLiveness, settings: Settings, watching_since: datetime, at: datetime
) -> Iterator[CheckResult]:
    """Judge a feed; nothing is said about what its statistics do not show.

    A feed that an operator stopped is expected to be silent: what its silence fired passes.
    """
    limit_seconds = settings.alerts.watch.ingest_away_seconds
    if feed.stopped_at is not None:
        yield from _stopped(feed, settings, at)
        return
    yield _result("watch-stopped", feed, at, "info", failed=False, observed="started again")
    age = (at - feed.heartbeat_at).total_seconds() if feed.heartbeat_at else None
    if age is None or age > limit_seconds:
        patience_seconds = limit_seconds * (FIRST_START if age is None else 1)
        if (at - watching_since).total_seconds() > patience_seconds:
            yield _ingest(feed, limit_seconds, at, age)
        return
    yield _ingest(feed, limit_seconds, at, age)
    yield from _ticks(feed, settings.silence.alert_of_feed, at)
    yield _key(feed, at)
    yield from _spool(feed, settings.alerts.watch.max_spool_ticks, at)


def _stopped(feed: FeedLiveness, settings: Settings, at: datetime) -> Iterator[CheckResult]:
    observed = f"stopped at {feed.stopped_at:%Y-%m-%d %H:%M:%S} UTC: {feed.stop_reason}"
    yield _result("watch-stopped", feed, at, "info", failed=True, observed=observed)
    yield _result("watch-ingest", feed, at, "critical", failed=False, observed=observed)
    yield _result("watch-feed", feed, at, "critical", failed=False, observed=observed)
    yield _result("watch-key", feed, at, "critical", failed=False, observed=observed)
    yield from _spool(feed, settings.alerts.watch.max_spool_ticks, at)


def _ingest(feed: FeedLiveness, limit_seconds: int, at: datetime, age: float | None) -> CheckResult:
    observed = "no heartbeat yet" if age is None else f"last heartbeat {ceil(age):,} s ago"
    failed = age is None or age > limit_seconds
    expected = f"a heartbeat within {limit_seconds} s"
    return _result("watch-ingest", feed, at, "critical", failed=failed, observed=observed, expected=expected)


def _key(feed: FeedLiveness, at: datetime) -> CheckResult:
    """Judge whether the vendor accepts the key; one that it has never accepted ends the feed instead."""
    refused = feed.refused_since is not None
    observed = (
        f"refused since {feed.refused_since:%Y-%m-%d %H:%M:%S} UTC ({feed.refusal})" if refused else "not refused"
    )
    expected = "the API key is accepted, as it was before"
    return _result("watch-key", feed, at, "critical", failed=refused, observed=observed, expected=expected)


def _ticks(feed: FeedLiveness, limit_seconds: int, at: datetime) -> Iterator[CheckResult]:
    """Judge whether a feed is connected and ticks arrive, if a market was open and its ingest ran all the time."""
    if feed.disconnected_at is not None and (at - feed.disconnected_at).total_seconds() > limit_seconds:
        observed = f"disconnected since {feed.disconnected_at:%Y-%m-%d %H:%M:%S} UTC ({feed.disconnect_reason})"
        severity: Severity = "critical" if feed.in_session else "warning"
        yield _result("watch-feed", feed, at, severity, failed=True, observed=observed, expected="a connection")
        return
    judged = feed.in_session and feed.windows >= limit_seconds // STATISTICS_SECONDS
    if feed.ticks or judged:
        observed = f"{counted(feed.ticks, 'tick')} in the last {limit_seconds} s"
        failed = not feed.ticks
        yield _result("watch-feed", feed, at, "critical", failed=failed, observed=observed, expected="at least 1 tick")


def _spool(feed: FeedLiveness, max_ticks: int, at: datetime) -> Iterator[CheckResult]:
    """Judge how many ticks wait; a feed without statistics may have left its ticks on disk."""
    depths = feed.spool_depths
    if not depths:
        return
    rises = len(depths) == GROWING_ROWS and all(before < after for before, after in pairwise(depths))
    failed = depths[-1] > max_ticks or (rises and depths[-1] > SMALL_SPOOL_TICKS)
    change = f"{depths[-1] - depths[0]:+,} in the last minute"
    observed = f"{counted(depths[-1], 'tick')} waiting for the database, {change}"
    expected = f"at most {max_ticks:,}, and not growing"
    yield _result("watch-spool", feed, at, "warning", failed=failed, observed=observed, expected=expected)


def _result(
    check: str,
    feed: FeedLiveness,
    at: datetime,
    severity: Severity,
    *,
    failed: bool,
    observed: str,
    expected: str | None = None,
) -> CheckResult:
    return CheckResult(check, f"feed/{feed.feed}", severity, "failed" if failed else "passed", observed, expected, at)


def scheduled_checks_result(
    checks: CheckLiveness | None, limits: WatchdogLimits, watching_since: datetime, at: datetime
) -> CheckResult | None:
    """Judge whether scheduled checks still run; null where a person runs them by hand, or none ran for a day."""
    if checks is None:
        return None
    age = (at - checks.last_run_at).total_seconds()
    failed = age > limits.checks_away_seconds
    watching = (at - watching_since).total_seconds()
    if failed and (checks.periods < SCHEDULED_PERIODS or watching <= limits.checks_away_seconds):
        return None
    observed, expected = f"last run {ceil(age):,} s ago", f"a run within {limits.checks_away_seconds:,} s"
    return CheckResult("watch-checks", "checks", "warning", "failed" if failed else "passed", observed, expected, at)
