"""What feeds and workers record for the dashboards of operation."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psutil

from candleworks.database.connection import Connection
from candleworks.feed.process_usage import ProcessUsage
from candleworks.storage.flow_runs import FlowRunRecord, FlowSchedule, RunStatus, save_flows
from candleworks.storage.process_samples import record_sizes, save_process_sample
from tests.feed.streaming import until

NOW = datetime.now(UTC)


def run(status: RunStatus, minutes_ago: float, lasted_seconds: float | None = 2.0, **other: object) -> FlowRunRecord:
    began = NOW - timedelta(minutes=minutes_ago)
    ended = None if lasted_seconds is None else began + timedelta(seconds=lasted_seconds)
    return FlowRunRecord(uuid4(), str(other.get("deployment", "fill-gaps")), status, began, ended, f"it {status}")


def flows(connection: Connection) -> list[tuple[object, ...]]:
    shown = "SELECT deployment, status, round(seconds), message, failed, runs, schedule FROM dashboards.flows"
    return connection.execute(f"{shown} ORDER BY deployment".encode()).fetchall()


def test_a_deployment_shows_its_last_run_and_when_it_runs_next(connection: Connection) -> None:
    """A run that crashed counts as failed; one that is overdue is late; deployments that are gone are not shown."""
    due, overdue = NOW + timedelta(days=1), NOW - timedelta(minutes=5)
    runs = [run("failed", 30), run("crashed", 20), run("completed", 10, 3)]
    gone = FlowSchedule("gone", paused=False, next_run_at=due)
    other = FlowSchedule("of another pool", paused=False, next_run_at=due)
    save_flows(connection, "main", [], [gone])
    save_flows(connection, "other", [], [other])
    schedules = [
        FlowSchedule("export", paused=False, next_run_at=None),
        FlowSchedule("fill-gaps", paused=False, next_run_at=due),
        FlowSchedule("maintain", paused=True, next_run_at=due),
        FlowSchedule("refresh", paused=False, next_run_at=overdue),
    ]
    save_flows(connection, "main", runs, schedules)
    assert flows(connection) == [
        ("export", None, None, None, 0, 0, None),
        ("fill-gaps", "completed", 3, "it completed", 2, 3, "scheduled"),
        ("maintain", None, None, None, 0, 0, "paused"),
        ("of another pool", None, None, None, 0, 0, "scheduled"),
        ("refresh", None, None, None, 0, 0, "late"),
    ]


def test_a_run_is_recorded_once_and_forgotten_after_a_month(connection: Connection) -> None:
    """While it runs, when it has ended, and by two workers."""
    running = run("running", 10, None)
    old = run("completed", 31 * 24 * 60)
    schedule = [FlowSchedule("fill-gaps", paused=False, next_run_at=None)]
    save_flows(connection, "main", [running, old], schedule)
    ended = FlowRunRecord(running.id, "fill-gaps", "failed", running.started_at, NOW, "no credits")
    for _ in range(2):
        save_flows(connection, "main", [ended], schedule)
    stored = connection.execute("SELECT id, status, message FROM candleworks.flow_runs").fetchall()
    assert stored == [(running.id, "failed", "no credits")]
    assert flows(connection)[0][:4] == ("fill-gaps", "failed", 600, "no credits")


def test_a_process_records_what_it_uses(connection: Connection, tmp_path: Path) -> None:
    """Real numbers of this process and machine; samples of a month ago go."""
    connection.execute(
        "INSERT INTO candleworks.process_samples VALUES ('crypto', now() - interval '31 days', 'x', 0, 0, 0, 0, 0, 0)"
    )
    used = psutil.Process().cpu_times().user
    usage = ProcessUsage("crypto", tmp_path / "not yet")
    until(lambda: sum(range(100_000)) and psutil.Process().cpu_times().user > used + 0.05)
    with ThreadPoolExecutor() as other_thread:
        save_process_sample(connection, other_thread.submit(usage.sample).result())
    ((memory, free, disk, cpu, machine_cpu),) = connection.execute(
        "SELECT memory_bytes, disk_free_bytes, disk_bytes, cpu_percent, machine_cpu_percent"
        " FROM dashboards.process_samples"
    ).fetchall()
    assert 10_000_000 < memory < 10_000_000_000
    assert 0 < free < disk
    assert cpu > 0
    assert 0 < machine_cpu <= 100


def test_sizes_are_measured_once_an_hour(connection: Connection) -> None:
    """Ticks, candles and the rest add up to the database; growth per day is known after a day."""
    for _ in range(2):
        record_sizes(connection)
    stored = connection.execute("SELECT kind, bytes FROM dashboards.size_history ORDER BY kind").fetchall()
    assert [kind for kind, _ in stored] == ["candles", "other", "quotes", "trades"]
    total = connection.execute("SELECT pg_database_size(current_database()), dashboards.bytes_per_day()").fetchone()
    assert total is not None
    assert abs(sum(size for _, size in stored) - total[0]) < 5_000_000
    assert total[1] is None
    connection.execute("UPDATE candleworks.size_history SET at = at - interval '2 days', bytes = bytes - 1000000")
    (grown,) = connection.execute("SELECT dashboards.bytes_per_day()").fetchone() or (0,)
    assert 1_900_000 < grown < 4_500_000
