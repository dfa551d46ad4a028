"""What the tests of the live path share."""

from collections.abc import Iterator

import pytest

from candleworks.feed import reconnection, service
from tests.feed.vendor import Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor().listening() as vendor:
        yield vendor


@pytest.fixture
def quick_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect after some 50 ms."""
    monkeypatch.setattr(reconnection, "FIRST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(reconnection, "AFTER_HEALTHY_SECONDS", 0.05)


@pytest.fixture
def patient_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stop store the whole backlog, however busy the machine is."""
    monkeypatch.setattr(service, "GIVE_UP_SECONDS", 20)
    monkeypatch.setattr(service, "MAX_STOP_SECONDS", 25)
