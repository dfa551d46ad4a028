"""The newest result of every check is kept beside the results, and is always what the history says."""

import random
import threading
from datetime import UTC, datetime, timedelta

import psycopg

from candleworks.database.connection import Connection

NOW = datetime(2026, 11, 18, 16, tzinfo=UTC)
INSERT = """
INSERT INTO quality_results ("check", subject, suite, severity, status, at) VALUES (%s, %s, 'live', 'info', %s, %s)
"""
Result = tuple[str, str, str, datetime]


def result(dice: random.Random) -> Result:
    status = dice.choice(["passed", "passed", "failed", "error"])
    return dice.choice("ab"), dice.choice("xyz"), status, NOW + timedelta(minutes=200 * dice.random())


def from_history(connection: Connection) -> list[Result]:
    """Return the newest result of each check and subject, and since when its status has been the same."""
    rows = connection.execute('SELECT "check", subject, status, at FROM quality_results ORDER BY at, id').fetchall()
    found: dict[tuple[str, str], tuple[str, datetime]] = {}
    for check, subject, status, at in rows:
        known = found.get((check, subject))
        found[check, subject] = known if known and known[0] == status else (status, at)
    return sorted((*key, *value) for key, value in found.items())


def kept(connection: Connection) -> list[Result]:
    statement = 'SELECT "check", subject, status, since FROM candleworks.quality_now() ORDER BY 1, 2'
    return connection.execute(statement).fetchall()


def test_they_follow_whatever_happens_to_the_history(connection: Connection) -> None:
    """Results that arrive late, many at once, corrections by hand, retention, and the end of everything."""
    dice = random.Random(7)
    for step in range(60):
        match step % 6:
            case 0 | 1 | 2:
                connection.execute(INSERT, result(dice))
            case 3:
                with connection.cursor() as cursor:
                    cursor.executemany(INSERT, [result(dice) for _ in range(5)])
            case 4:
                old, new, status, at = result(dice)
                connection.execute(
                    'UPDATE quality_results SET "check" = %s, status = %s WHERE "check" = %s AND at < %s',
                    [new[:1], status, old, at],
                )
            case 5:
                connection.execute("DELETE FROM quality_results WHERE at < %s", [NOW + timedelta(minutes=step)])
        assert kept(connection) == from_history(connection), step
    connection.execute("DELETE FROM quality_results")
    assert kept(connection) == []


def test_two_runs_at_once_leave_the_newest(connection: Connection, dsn: str) -> None:
    """The second waits for the first, also where it began earlier."""
    with psycopg.connect(dsn) as early, psycopg.connect(dsn) as late:
        early.execute("SELECT count(*) FROM quality_results")
        late.execute(INSERT, ["a", "x", "failed", NOW + timedelta(minutes=1)])
        waiting = threading.Thread(target=early.execute, args=(INSERT, ["a", "x", "passed", NOW]))
        waiting.start()
        late.commit()
        waiting.join(30)
        early.commit()
    assert [status for _, _, status, _ in kept(connection)] == ["failed"]
