"""Reads what the checks examine from the database, in a bounded time."""

from dataclasses import replace

from candleworks import clock
from candleworks.alerts.routing import pending
from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.migrations import require_schema
from candleworks.database.profiles import WEB
from candleworks.database.server import database, has_database
from candleworks.doctor.findings import DatabaseState, Operation
from candleworks.errors import CandleworksError, ConfigurationError, TerminalError
from candleworks.settings import Settings
from candleworks.storage.deliveries import list_deliverers
from candleworks.storage.inspection import engine_and_reason
from candleworks.storage.monitoring import read_feed_states
from candleworks.storage.quality import quality_now
from candleworks.storage.server_facts import foreign_drops, foreign_jobs, is_too_old, server_facts


def read_database(settings: Settings) -> tuple[DatabaseState | None, str | None]:
    """Return the state of the database, or a sentence that says why it cannot be read; neither where none exists.

    An embedded server is started where it has data. A server that does not answer takes ten seconds.
    """
    try:
        return (_read(settings) if has_database(settings) else None), None
    except CandleworksError as error:
        return None, str(error)


def _read(settings: Settings) -> DatabaseState:
    with database(settings) as dsn, transient_errors(dsn), connect(dsn, "doctor", profile=WEB) as connection:
        if is_too_old(connection):
            raise ConfigurationError(
                f"The server runs PostgreSQL {connection.info.server_version // 10_000}: upgrade it to 15 or newer."
            )
        before = clock.now()
        facts = server_facts(connection)
        skew = (facts.now - before - (clock.now() - before) / 2).total_seconds()
        state = DatabaseState(describe(dsn), facts, skew)
        try:
            require_schema(connection)
        except TerminalError as error:
            return replace(state, schema_problem=str(error))
        return replace(state, operation=_operation(connection))


def _operation(connection: Connection) -> Operation:
    return Operation(
        feeds=read_feed_states(connection),
        results=quality_now(connection),
        deliverers=list_deliverers(connection),
        pending=pending(connection),
        engine=engine_and_reason(connection),
        jobs=foreign_jobs(connection),
        drops=foreign_drops(connection),
    )
