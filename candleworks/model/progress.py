"""What work in steps tells while it goes on."""

from collections.abc import Callable

# Takes how many steps are done, how many there are, and what is done now, at last nothing.
Progress = Callable[[int, int, str], object]


def silent(done: int, steps: int, now: str) -> None:
    """Take what nobody looks at."""
