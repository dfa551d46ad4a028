"""What the tests of alerts share."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts import CheckResult
from candleworks.settings import Settings, load_settings
from tests.alerts.receivers import Mail, Web
from tests.cli.conftest import invoke  # noqa: F401 - the fixture

NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)


def results(status: str, *subjects: str, minute: float = 0, observed: str = "312 s") -> list[CheckResult]:
    """A check's word on each subject, some minutes after NOW."""
    at = NOW + timedelta(minutes=minute)
    return [
        CheckResult("freshness", subject, "warning", status, observed, "at most 120 s", at)  # type: ignore[arg-type]
        for subject in subjects
    ]


def settings_for(dsn: str, *urls: str, **alerts: object) -> Settings:
    """Settings with those receivers, which are tried again at once."""
    settings = load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_ALERT_URLS": ",".join(urls)})
    rules = {"retry_first_seconds": 0.1, "retry_longest_seconds": 0.1} | alerts
    return settings.model_copy(update={"alerts": settings.alerts.model_copy(update=rules)})


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().listening() as web:
        yield web


@pytest.fixture
def other_web() -> Iterator[Web]:
    with Web().listening() as web:
        yield web


@pytest.fixture
def mail() -> Iterator[Mail]:
    with Mail().listening() as mail:
        yield mail
