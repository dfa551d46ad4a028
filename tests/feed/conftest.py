"""What the tests of the live path share."""

from collections.abc import Iterator

import pytest

from candleworks.feed import reconnection
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
