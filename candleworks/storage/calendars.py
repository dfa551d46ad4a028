"""Exchange calendars and their sessions in the database."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, lock_transaction
from candleworks.database.queries import query
from candleworks.model.trades import microseconds_of

OTHER_STOCKS = "*"  # the rule for symbols that have none of their own and no slash


@dataclass(frozen=True)
class Session:
    """Regular hours of one exchange day: [open_at, close_at) without [break_start, break_end)."""

    session: date
    open_at: datetime
    close_at: datetime
    break_start: datetime | None
    break_end: datetime | None


@dataclass(frozen=True)
class Calendar:
    """A calendar's sessions from `first_day` to `last_day`, and what computed them.

    The exchange's dates change in `zone`, such as America/New_York.
    """

    name: str
    first_day: date
    last_day: date
    source: str
    sessions: list[Session]
    zone: str = "UTC"


def stored_sources(connection: Connection) -> dict[str, str]:
    """Return what computed each stored calendar."""
    return dict(connection.execute(query("calendar_sources")).fetchall())


def save_calendar(connection: Connection, calendar: Calendar) -> None:
    """Replace a calendar; readers see either the old or the new one."""
    with connection.transaction():
        lock_transaction(connection, Lock.CALENDARS)
        named = {key: getattr(calendar, key) for key in ("name", "first_day", "last_day", "source", "zone")}
        connection.execute(query("save_calendar"), named)
        connection.execute(query("forget_sessions"), {"name": calendar.name})
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY candleworks.sessions (calendar, session, open_at, close_at, break_start, break_end) FROM STDIN"
            ) as copy,
        ):
            for s in calendar.sessions:
                copy.write_row((calendar.name, s.session, s.open_at, s.close_at, s.break_start, s.break_end))


def save_rules(connection: Connection, rules: Mapping[str, str]) -> None:
    """Store which calendar each named symbol follows, and OTHER_STOCKS; writes nothing when nothing changed."""
    if dict(connection.execute(query("calendar_rules")).fetchall()) == rules:
        return
    with connection.transaction():
        lock_transaction(connection, Lock.CALENDARS)
        connection.execute(query("replace_calendar_rules"), {"symbols": list(rules), "calendars": list(rules.values())})


def save_currencies(connection: Connection, codes: AbstractSet[str]) -> None:
    """Store which codes make a currency pair; writes nothing when nothing changed."""
    if {code for (code,) in connection.execute(query("currencies")).fetchall()} == codes:
        return
    with connection.transaction():
        lock_transaction(connection, Lock.CALENDARS)
        connection.execute(query("replace_currencies"), {"codes": sorted(codes)})


def sessions_around(
    connection: Connection, calendars: Iterable[str], time: datetime
) -> dict[str, list[tuple[int, int]]]:
    """Return when calendars are open from a day before to a week after a time, in microseconds, without breaks."""
    rows = connection.execute(query("sessions_around"), {"calendars": sorted(calendars), "moment": time}).fetchall()
    sessions: dict[str, list[tuple[int, int]]] = {}
    for calendar, opened_at, closed_at in rows:
        sessions.setdefault(calendar, []).append((microseconds_of(opened_at), microseconds_of(closed_at)))
    return sessions
