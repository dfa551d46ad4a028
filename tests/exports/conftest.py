"""Files to import again what was exported."""

from pathlib import Path

import pytest

from candleworks.database.connection import Connection
from candleworks.settings import Settings
from tests.imports.conftest import Desk


@pytest.fixture
def desk(connection: Connection, settings: Settings, tmp_path: Path) -> Desk:
    return Desk(connection, settings, tmp_path)
