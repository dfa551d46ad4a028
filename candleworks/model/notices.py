"""Events and progress that long-running work reports to its caller."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Notice(NamedTuple):
    """An event that others may act on.

    `name` is stable, such as `feed.gap-opened`; `subject` is what it is about, such as a feed or `feed/symbol`; `facts`
    can be written as JSON, times as ISO 8601 in UTC.
    """

    name: str
    subject: str
    facts: Mapping[str, Any]


Notify = Callable[[Notice], None]

# Called with the number of finished steps, the number of all steps, and the current step: at the end an empty text.
Progress = Callable[[int, int, str], object]


def ignore(notice: Notice) -> None:
    """Discard a notice."""


def silent(done: int, steps: int, now: str) -> None:
    """Discard progress."""
