"""What the tests of `doctor` share."""

from tests.cli.conftest import empty_dsn, invoke  # noqa: F401 - the fixtures
