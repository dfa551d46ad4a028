"""The checks of `candleworks doctor`, in the order in which they are shown, and what they examine."""

import platform
from collections.abc import Mapping
from typing import NamedTuple

from candleworks import __version__
from candleworks.alerts.routing import routed_recipients
from candleworks.doctor import configuration, machine, operation, server
from candleworks.doctor.database_state import read_database
from candleworks.doctor.findings import DoctorCheck, DoctorLevel, Finding, Need, Patient
from candleworks.settings import Settings

CHECKS = (
    DoctorCheck("database", "The database answers within ten seconds.", server.reachable),
    DoctorCheck("schema", "The schema is that of this version.", server.schema, Need.DATABASE),
    DoctorCheck("encoding", "The encoding is UTF8, and the collation did not change.", server.encoding, Need.DATABASE),
    DoctorCheck("durability", "The server loses nothing that it has committed.", server.durability, Need.DATABASE),
    DoctorCheck("role", "candleworks does not connect as a superuser.", server.role, Need.DATABASE),
    DoctorCheck("connections", "The server allows enough connections.", server.connections, Need.DATABASE),
    DoctorCheck("clock", "The database's clock and this machine's agree.", server.clock, Need.DATABASE),
    DoctorCheck("timescaledb", "TimescaleDB is used, in the installed version.", server.timescaledb, Need.DATABASE),
    DoctorCheck("jobs", "No other job drops or compresses our data.", server.jobs, Need.SCHEMA),
    DoctorCheck("dropped-ticks", "Nothing else has dropped ticks.", server.drops, Need.SCHEMA),
    DoctorCheck("embedded", "The database is a server of its own, not the embedded one.", machine.embedded),
    DoctorCheck("home", "This user can write to the home.", machine.home),
    DoctorCheck("disk", "The disk has room.", machine.disk),
    DoctorCheck("spool", "Ticks that wait for the database are on a durable disk with room.", machine.spool),
    DoctorCheck("permissions", "Other users of this machine cannot read secrets.", machine.permissions),
    DoctorCheck("variables", "Every environment variable CANDLEWORKS_... is read.", configuration.variables),
    DoctorCheck("feed-source", "The feed is live.", configuration.feed_source),
    DoctorCheck("credits", "The limits of API credits are those of your plan.", configuration.credits),
    DoctorCheck("retention", "It is decided how long ticks are kept.", configuration.retention),
    DoctorCheck("recipients", "Somebody is notified of alerts.", operation.recipients),
    DoctorCheck("delivery", "A process delivers notifications.", operation.delivery, Need.SCHEMA),
    DoctorCheck("page-url", "Links in notifications open on other machines.", configuration.page_url),
    DoctorCheck("prefect", "Prefect's server on another machine requires a password.", configuration.prefect_password),
    DoctorCheck("disabled-checks", "No check is disabled.", configuration.disabled_checks),
    DoctorCheck("feeds", "Every configured feed runs.", operation.feeds, Need.SCHEMA),
    DoctorCheck("gaps", "No gap is open or unfilled.", operation.gaps, Need.SCHEMA),
    DoctorCheck("checks", "Every check of data has passed.", operation.checks, Need.SCHEMA),
)


class Diagnosis(NamedTuple):
    """The findings of every check, by its name, and one line each about the program's surroundings."""

    found: dict[str, list[Finding]]
    surroundings: dict[str, str]

    @property
    def counts(self) -> dict[DoctorLevel, int]:
        """How many findings there are of each level; a check that passed or was skipped has one."""
        levels = [finding.level for findings in self.found.values() for finding in findings]
        return {level: levels.count(level) for level in DoctorLevel}


def diagnose(settings: Settings, environment: Mapping[str, str]) -> Diagnosis:
    """Run all checks. It reads only; an embedded server is started where it has a database."""
    state, problem = read_database(settings)
    patient = Patient(settings, environment, state, problem)
    return Diagnosis({check.name: check.findings(patient) for check in CHECKS}, _surroundings(patient))


def _surroundings(patient: Patient) -> dict[str, str]:
    settings, state = patient.settings, patient.database
    facts = {
        "candleworks": f"{__version__}, Python {platform.python_version()}",
        "home": str(settings.home),
        "feed": "simulated" if settings.simulated else settings.feed_url,
    }
    if state is not None:
        where = "embedded" if patient.embedded else "from CANDLEWORKS_DSN"
        facts["database"] = f"{state.name} ({where}), PostgreSQL {state.facts.version}"
        if state.operation:
            facts["engine"] = f"{state.operation.engine.engine}: {state.operation.engine.reason}"
            facts["notifications"] = f"to {', '.join(routed_recipients(state.operation.deliverers))}"
    return facts
