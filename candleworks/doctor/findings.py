"""Findings of the checks, and what the checks look at."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple, TypeVar

from candleworks.database.engine import DetectedEngine
from candleworks.model.alerts import CheckResult
from candleworks.settings import Settings
from candleworks.storage.deliveries import Deliverer
from candleworks.storage.monitoring import FeedState
from candleworks.storage.server_facts import ForeignDrop, ForeignJob, ServerFacts

Found = TypeVar("Found")


class DoctorLevel(StrEnum):
    """How bad a finding is: worth knowing, not right for production, or not working.

    A check that could not look at anything is skipped.
    """

    OK = "ok"
    SKIPPED = "skipped"
    NOTE = "note"
    WARNING = "warning"
    BROKEN = "broken"


class Finding(NamedTuple):
    """One sentence about what was found, and what to do about it (empty: nothing)."""

    level: DoctorLevel
    text: str
    fix: str = ""


def note(text: str, fix: str = "") -> Finding:
    return Finding(DoctorLevel.NOTE, text, fix)


def warning(text: str, fix: str) -> Finding:
    return Finding(DoctorLevel.WARNING, text, fix)


def broken(text: str, fix: str = "") -> Finding:
    return Finding(DoctorLevel.BROKEN, text, fix)


def required(value: Found | None) -> Found:
    """Return what the need of a check says that it is there."""
    assert value is not None  # noqa: S101 - see DoctorCheck.findings()
    return value


@dataclass(frozen=True)
class Operation:
    """What a database with our schema says about the platform. `pending` is a sentence about waiting notifications."""

    feeds: list[FeedState]
    results: list[CheckResult]
    deliverers: list[Deliverer]
    pending: str | None
    engine: DetectedEngine
    jobs: list[ForeignJob]
    drops: list[ForeignDrop]


@dataclass(frozen=True)
class DatabaseState:
    """A database that answers. `operation` is null where `schema_problem` says why it cannot be read."""

    name: str
    facts: ServerFacts
    skew_seconds: float
    schema_problem: str | None = None
    operation: Operation | None = None


@dataclass(frozen=True)
class Patient:
    """What is examined. `database` is null where it cannot be read, or does not exist yet."""

    settings: Settings
    environment: Mapping[str, str]
    database: DatabaseState | None = None
    database_problem: str | None = None

    @property
    def operation(self) -> Operation | None:
        return self.database.operation if self.database else None

    @property
    def embedded(self) -> bool:
        return self.settings.dsn is None


class Need(Enum):
    """What a check looks at, and cannot do without."""

    MACHINE = "this machine and its settings"
    DATABASE = "a database that answers"
    SCHEMA = "a database with our schema"


class DoctorCheck(NamedTuple):
    """A check: its name, what it requires in one sentence, and the function that yields what it finds."""

    name: str
    requires: str
    examine: Callable[[Patient], Iterable[Finding]]
    need: Need = Need.MACHINE

    def findings(self, patient: Patient) -> list[Finding]:
        """Return what the check finds: one finding of level ok or skipped where there is nothing to report."""
        state = patient.database
        if (self.need is not Need.MACHINE and state is None) or (self.need is Need.SCHEMA and not patient.operation):
            return [Finding(DoctorLevel.SKIPPED, f"It needs {self.need.value}.")]
        return list(self.examine(patient)) or [Finding(DoctorLevel.OK, self.requires)]
