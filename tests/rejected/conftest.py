"""What the tests of quarantined ticks share."""

from tests.cli.conftest import invoke  # noqa: F401 - the fixture
