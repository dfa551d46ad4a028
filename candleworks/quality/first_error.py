"""Ends a check at its first statement that fails."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext


class Guard:
    """Refuses the statements of a check after one of them failed, with the same reason.

    Great Expectations computes a metric that fails three times, what it computes in one statement once more one by
    one, and counts rows by a statement of its own: SQL that ran into the time limit was run 6 times, `candle-shape` 45.
    """

    def __init__(self, *engines: Engine) -> None:
        self._failure: BaseException | None = None
        self._listeners = [
            (engine, name, listener)
            for engine in engines
            for name, listener in (("handle_error", self._remember), ("before_cursor_execute", self._admit))
        ]
        for each in self._listeners:
            event.listen(*each)

    def close(self) -> None:
        """Forget everything: SQLAlchemy keeps parts of an engine, its listeners included, beyond the engine's end."""
        self._failure = None
        for each in self._listeners:
            event.remove(*each)

    def next_check(self) -> None:
        """Let statements pass again."""
        self._failure = None

    def _remember(self, context: ExceptionContext) -> None:
        self._failure = context.sqlalchemy_exception or context.original_exception

    def _admit(self, *_: Any) -> None:
        if self._failure is not None:
            raise self._failure
