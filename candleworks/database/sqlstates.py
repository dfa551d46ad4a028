"""Which errors of the database a retry may cure, by SQLSTATE; docs/decisions/0064-transient-sqlstates.md says why."""

from collections.abc import Mapping
from typing import NamedTuple

import psycopg


class Outage(NamedTuple):
    """What a database that fails for a time does not do, and what to do about it, as parts of a sentence."""

    what: str
    advice: str


AWAY = Outage("cannot be reached", "start it, or correct CANDLEWORKS_DSN")
CONFLICT = Outage("rolled back a transaction that conflicted with another one", "try again")
ENDED = Outage("ended a session that took too long", "try again")
EXHAUSTED = Outage("has run out of a resource", "free disk space, memory or connections of its server")
FILES = Outage("could not read or write its files", "check the disk of its server")
LOCKED = Outage("did not grant a lock that another session holds", "try again")
READ_ONLY = Outage("accepts no changes", "wait for the end of its failover, or make it writable again")
SLOW = Outage("did not answer in time", "try again later")

# By class (two characters) or by the whole SQLSTATE, which wins over its class. None is terminal, like what is missing.
TRANSIENT: Mapping[str, Outage | None] = {
    "08": AWAY,  # connection_exception
    "25006": READ_ONLY,  # read_only_sql_transaction
    "25P03": ENDED,  # idle_in_transaction_session_timeout
    "25P04": ENDED,  # transaction_timeout
    "40": CONFLICT,  # transaction_rollback: serialization_failure, deadlock_detected
    "40002": None,  # transaction_integrity_constraint_violation
    "53": EXHAUSTED,  # insufficient_resources: disk_full, out_of_memory, too_many_connections
    "53400": None,  # configuration_limit_exceeded: a row or a statement is too large for a setting
    "55006": LOCKED,  # object_in_use
    "55P03": LOCKED,  # lock_not_available
    "57": AWAY,  # operator_intervention: admin_shutdown, crash_shutdown, cannot_connect_now
    "57014": SLOW,  # query_canceled: statement_timeout
    "57P05": ENDED,  # idle_session_timeout
    "58": FILES,  # system_error: io_error
}


def outage_of(error: BaseException) -> Outage | None:
    """Return what an error of the driver says about the database; null when a retry cannot cure it."""
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None:  # from the driver itself: no connection, a lost one, or none left in a pool
        return AWAY if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else None
    return outage_of_state(error.sqlstate)


def outage_of_state(sqlstate: str) -> Outage | None:
    """Return what a SQLSTATE says about the database; null when a retry cannot cure it."""
    return TRANSIENT.get(sqlstate, TRANSIENT.get(sqlstate[:2]))
