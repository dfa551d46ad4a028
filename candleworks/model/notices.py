"""What long-running work tells whoever runs it, without knowing who that is."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Notice(NamedTuple):
    """Something happened that others may act on.

    `name` is stable, such as `feed.gap-opened`; `subject` is what it happened to, such as a feed or `feed/symbol`;
    `facts` can be written as JSON, times as ISO 8601 in UTC.
    """

    name: str
    subject: str
    facts: Mapping[str, Any]


Notify = Callable[[Notice], None]


def ignore(notice: Notice) -> None:
    """Take a notice that nobody waits for."""
