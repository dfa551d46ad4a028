"""What the tests of the documentation share."""

from tests.cli.conftest import invoke

__all__ = ["invoke"]
