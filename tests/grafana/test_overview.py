"""The overview says what is wrong with each part of the platform, and that nothing is where nothing is."""

from datetime import timedelta

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.settings import load_settings
from tests.grafana.test_operation import NOW, SINCE, ago, gap, heartbeat, tick


@pytest.fixture
def platform(connection: Connection) -> Connection:
    """A feed that streams, candles that are stored, a check that passes and flows that run."""
    sync_calendars(connection, load_settings({}))
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [SINCE, NOW])
    connection.execute("INSERT INTO feed_symbols VALUES ('stocks', 'AAPL', 'streaming', NULL, %s)", [SINCE])
    tick(connection, "AAPL", ago(seconds=2))
    for at in (SINCE, ago(seconds=20), ago(seconds=10)):
        heartbeat(connection, "stocks", at)
    refresh(connection)
    result(connection, "candle-audit", "candles_1m", "passed")
    connection.execute(
        "INSERT INTO candleworks.flow_schedules (deployment, pool, paused, next_run_at)"
        " VALUES ('maintain-storage', 'candleworks', false, now() + interval '1 hour')"
    )
    return connection


def result(connection: Connection, check: str, subject: str, status: str, observed: str | None = None) -> None:
    connection.execute(
        'INSERT INTO quality_results ("check", subject, suite, severity, status, observed, seconds, at)'
        " VALUES (%s, %s, 'live', 'critical', %s, %s, 0.1, %s)",
        [check, subject, status, observed, ago(minutes=5)],
    )


def alert(connection: Connection, check: str, severity: str, status: str = "open") -> int:
    row = connection.execute(
        'INSERT INTO alerts ("check", subject, severity, status, opened_at, last_seen_at, checked_at)'
        " VALUES (%s, 'AAPL', %s, %s, %s, %s, %s) RETURNING id",
        [check, severity, status, NOW, NOW, NOW],
    ).fetchone()
    assert row
    return int(row[0])


def overview(connection: Connection, part: str) -> tuple[str, str]:
    rows = connection.execute("SELECT part, state, detail FROM dashboards.overview(%s)", [NOW]).fetchall()
    return {name: (state, detail) for name, state, detail in rows}[part]


def test_all_is_well(platform: Connection) -> None:
    """A line for each part, in the order in which data passes them."""
    rows = platform.execute("SELECT part, state, detail, dashboard FROM dashboards.overview(%s)", [NOW]).fetchall()
    assert rows[:-1] == [
        ("Feeds", "ok", "stocks is streaming, 5.0 ticks/s", "health"),
        ("Candles", "ok", "every level is stored up to the newest ticks", "health"),
        ("Checks", "ok", "all 1 pass, the last ran 5 min ago", "quality"),
        ("Alerts", "ok", "none fires", "quality"),
        ("Flows", "ok", "0 runs in 24 hours, none failed", "health"),
    ]
    part, state, detail, dashboard = rows[-1]
    assert (part, state, dashboard) == ("Storage", "ok", "storage")
    assert detail.endswith("in the database")


def test_an_empty_database_has_nothing_to_judge_by(connection: Connection) -> None:
    """Which is neither good nor bad."""
    sync_calendars(connection, load_settings({}))
    rows = connection.execute("SELECT part, state, detail FROM dashboards.overview(%s)", [NOW]).fetchall()
    assert rows[:5] == [
        ("Feeds", "unknown", "no feed has run yet"),
        ("Candles", "unknown", "no candles yet"),
        ("Checks", "unknown", "no check has run yet"),
        ("Alerts", "ok", "none fires"),
        ("Flows", "unknown", "no worker has reported any"),
    ]


def test_a_feed_that_is_down_or_stopped(platform: Connection) -> None:
    """Missing ticks are critical, unless a person wanted it so."""
    gap(platform, "stocks", None, (ago(minutes=4), None), "dropped")
    assert overview(platform, "Feeds") == ("critical", "stocks has been down for 4 min: the connection was lost")
    platform.execute("INSERT INTO feed_stops VALUES ('stocks', %s, 'cancelled by ann', true)", [ago(hours=3)])
    assert overview(platform, "Feeds") == ("warning", "stocks has been stopped for 3 h: cancelled by ann")


def test_a_feed_that_was_given_up_is_not_mentioned(platform: Connection) -> None:
    """It is no longer asked for anything."""
    platform.execute("UPDATE feed_symbols SET status = 'removed'")
    assert overview(platform, "Feeds") == ("unknown", "no feed has run yet")


def test_candles_that_differ_from_their_ticks(platform: Connection) -> None:
    """Until they are repaired."""
    platform.execute(
        "INSERT INTO candle_differences (found_at, level, symbol, bucket, kind) VALUES (%s, '1m', 'AAPL', %s, 'wrong')",
        [ago(hours=1), SINCE],
    )
    state, detail = overview(platform, "Candles")
    assert state == "warning"
    assert detail == (
        "1 candle found since yesterday not to be what the ticks say: run candleworks candles audit --repair; "
        "every level is stored up to the newest ticks"
    )
    platform.execute("UPDATE candle_differences SET repaired_at = %s", [NOW])
    assert overview(platform, "Candles")[0] == "ok"


@pytest.mark.parametrize(("minutes", "state"), [(5, "warning"), (15, "critical")])
def test_candles_that_are_behind(platform: Connection, minutes: int, state: str) -> None:
    """Ten minutes are too long."""
    tick(platform, "AAPL", NOW + timedelta(minutes=minutes))
    assert overview(platform, "Candles") == (state, f"the 1m candles are {minutes} min behind the ticks")


def test_checks_that_fail_or_stop_running(platform: Connection) -> None:
    """The worst one is named."""
    result(platform, "freshness", "AAPL", "failed", "no tick for 900 s")
    assert overview(platform, "Checks") == ("critical", "1 of 2 do not pass; freshness of AAPL: no tick for 900 s")
    platform.execute("DELETE FROM quality_results WHERE status = 'failed'")
    platform.execute("UPDATE quality_results SET at = at - interval '5 hours'")
    assert overview(platform, "Checks") == ("warning", "none has run for 5 h")


def test_alerts_that_fire(platform: Connection) -> None:
    """Somebody looks after those that are acknowledged or silenced; what nobody is told of is mentioned first."""
    alert(platform, "lag", "warning", "acknowledged")
    platform.execute("UPDATE alerts SET silenced_until = %s", [NOW - timedelta(hours=1)])
    silenced = alert(platform, "spread", "critical")
    platform.execute("UPDATE alerts SET silenced_until = %s WHERE id = %s", [NOW + timedelta(hours=1), silenced])
    assert overview(platform, "Alerts") == ("ok", "none fires; 1 acknowledged; 1 silenced")
    alert(platform, "freshness", "warning")
    assert overview(platform, "Alerts") == ("warning", "1 firing; 1 acknowledged; 1 silenced")
    platform.execute("UPDATE alerts SET severity = 'critical'")
    assert overview(platform, "Alerts") == ("critical", "1 firing, 1 of them critical; 1 acknowledged; 1 silenced")


def test_notifications_that_do_not_arrive(platform: Connection) -> None:
    """Even when no alert fires any more."""
    about = alert(platform, "lag", "warning", "acknowledged")
    platform.execute(
        "WITH event AS (INSERT INTO alert_events (alert_id, event, at, severity, result, count)"
        " VALUES (%s, 'opened', now(), 'warning', 'failed', 1) RETURNING id)"
        " INSERT INTO alert_deliveries (event_id, recipient, attempts, reason)"
        " SELECT id, 'mailto://x', 3, 'connection refused' FROM event",
        [about],
    )
    assert overview(platform, "Alerts") == (
        "warning",
        "1 notification not delivered: connection refused; none fires; 1 acknowledged",
    )


def test_flows_that_are_late_or_fail(platform: Connection) -> None:
    """By name."""
    platform.execute("UPDATE candleworks.flow_schedules SET next_run_at = now() - interval '5 minutes'")
    platform.execute(
        "INSERT INTO candleworks.flow_runs (id, deployment, status, started_at)"
        " VALUES (gen_random_uuid(), 'maintain-storage', 'failed', now())"
    )
    assert overview(platform, "Flows") == (
        "warning",
        "late: maintain-storage; last run failed: maintain-storage; 1 run in 24 hours, 1 failed",
    )


def test_a_disk_that_is_nearly_full(platform: Connection) -> None:
    """As the check of the disk says."""
    result(platform, "disk", "system", "failed", "120 MB free in /data")
    state, detail = overview(platform, "Storage")
    assert state == "critical"
    assert detail.startswith("120 MB free in /data; ")
