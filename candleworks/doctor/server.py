"""Checks of the database server."""

from collections.abc import Iterator

from candleworks.database.engine import Engine
from candleworks.doctor.findings import Finding, Patient, broken, note, required, warning
from candleworks.wording import counted

MAX_SKEW_SECONDS = 1.0
BASE_CONNECTIONS = 40  # the page, Prefect's server and the scheduled flows
FEED_CONNECTIONS = 4


def reachable(patient: Patient) -> Iterator[Finding]:
    if patient.database_problem:
        yield broken(patient.database_problem)
    elif patient.database is None:
        yield note(
            f"There is no database in {patient.settings.home} yet.",
            "Run `candleworks up` or `candleworks import FILE`, or set CANDLEWORKS_DSN.",
        )


def schema(patient: Patient) -> Iterator[Finding]:
    if problem := required(patient.database).schema_problem:
        yield broken(problem)


def encoding(patient: Patient) -> Iterator[Finding]:
    facts = required(patient.database).facts
    if facts.encoding != "UTF8":
        yield broken(
            f"The encoding of the database is {facts.encoding}, and UTF8 is required.",
            "Create a database with ENCODING 'UTF8' TEMPLATE template0, and set CANDLEWORKS_DSN to it.",
        )
    if facts.collation_changed:
        yield warning(
            "The operating system sorts text in another way than when the database was created: indexes on symbols may"
            " miss rows.",
            "Run REINDEX DATABASE, then ALTER DATABASE ... REFRESH COLLATION VERSION.",
        )


def role(patient: Patient) -> Iterator[Finding]:
    facts = required(patient.database).facts
    if facts.is_superuser and not patient.embedded:
        yield warning(
            f"candleworks connects as {facts.role}, a superuser.",
            "Create a role that owns only this database, and set CANDLEWORKS_DSN to it.",
        )


def durability(patient: Patient) -> Iterator[Finding]:
    facts = required(patient.database).facts
    for name in ("fsync", "full_page_writes"):
        if getattr(facts, name) == "off":
            yield broken(
                f"The server runs with {name} = off: a crash of its machine can destroy the database.",
                f"Set {name} = on in postgresql.conf, and reload the server.",
            )
    if facts.synchronous_commit == "off":
        yield warning(
            "The server runs with synchronous_commit = off: a crash loses the ticks of the last moments.",
            f"Run ALTER ROLE {facts.role} SET synchronous_commit = on, or set it in postgresql.conf.",
        )


def connections(patient: Patient) -> Iterator[Finding]:
    facts = required(patient.database).facts
    needed = BASE_CONNECTIONS + FEED_CONNECTIONS * len(patient.settings.feeds)
    if facts.connections < needed:
        yield warning(
            f"The server allows {facts.connections} connections, and candleworks may need {needed}.",
            "Raise max_connections in postgresql.conf, and restart the server.",
        )
    elif facts.connections_used > 0.8 * facts.connections:
        yield warning(
            f"{facts.connections_used} of the server's {facts.connections} connections are in use.",
            "Look at pg_stat_activity, or raise max_connections.",
        )


def clock(patient: Patient) -> Iterator[Finding]:
    skew = required(patient.database).skew_seconds
    if abs(skew) > MAX_SKEW_SECONDS:
        yield warning(
            f"The database's clock is {abs(skew):,.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's: ages"
            " and lags are wrong, and ticks may be rejected as being in the future.",
            "Synchronise both with NTP, for example with chrony.",
        )


def timescaledb(patient: Patient) -> Iterator[Finding]:
    facts, operation = required(patient.database).facts, patient.operation
    installed, available = facts.timescaledb_version, facts.timescaledb_available
    if installed and available and installed != available:
        yield note(
            f"TimescaleDB {available} is installed, and the database uses {installed}.",
            "Run ALTER EXTENSION timescaledb UPDATE as the first command of a session.",
        )
    if operation and operation.engine.engine is Engine.POSTGRES:
        yield note(
            "Candles are stored in plain PostgreSQL: nothing is compressed.",
            "docs/how-to/move-to-timescaledb.md moves the data.",
        )


def jobs(patient: Patient) -> Iterator[Finding]:
    for job in required(patient.operation).jobs:
        yield warning(
            f"TimescaleDB's job {job.number} runs {job.procedure} on {job.relation}, besides `candleworks maintain`:"
            " it may drop ticks before their candles are stored.",
            f"Run SELECT delete_job({job.number}), and set storage.retention_days or storage.compress_after_days.",
        )


def drops(patient: Patient) -> Iterator[Finding]:
    for drop in required(patient.operation).drops:
        yield note(
            f"{counted(drop.parts, 'part')} of {drop.relation} from {drop.start:%Y-%m-%d} to {drop.stop:%Y-%m-%d}"
            " {} not dropped by `candleworks maintain`: the candles stay as they are.".format(
                "was" if drop.parts == 1 else "were"
            ),
            "Set storage.retention_days instead. docs/how-to/retention.md says what to do when the ticks are back.",
        )
