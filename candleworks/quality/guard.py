"""Ends a check at its first statement that fails."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext


class Guard:
    """Refuses the statements of a check after one of them failed, with the same reason.

    Great Expectations computes a metric that fails three times, what it computes in one statement once more one by
    one, and counts rows by a statement of its own: SQL that ran into the time limit was run 6 times, `candle-shape` 45.
    """

    def __init__(self) -> None:
        self._failure: BaseException | None = None

    def watch(self, engine: Engine) -> None:
        event.listen(engine, "handle_error", self._remember)
        event.listen(engine, "before_cursor_execute", self._admit)

    def next_check(self) -> None:
        """Let statements pass again."""
        self._failure = None

    def _remember(self, context: ExceptionContext) -> None:
        self._failure = context.sqlalchemy_exception or context.original_exception

    def _admit(self, *_: Any) -> None:
        if self._failure is not None:
            raise self._failure
