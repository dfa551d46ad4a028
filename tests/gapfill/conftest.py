"""One simulated vendor for all tests of a module, and a database per test that is filled from it."""

from collections.abc import Iterator

import pytest

from candleworks.database.connection import Connection
from candleworks.settings import Settings
from tests.gapfill.filling import Platform, Vendor, platform_of, vendor


@pytest.fixture(scope="session")
def simulated() -> Iterator[Vendor]:
    with vendor() as running:
        yield running


@pytest.fixture
def platform(connection: Connection, settings: Settings, simulated: Vendor) -> Platform:
    return platform_of(connection, settings, simulated)
