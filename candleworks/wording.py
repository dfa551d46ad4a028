"""How numbers of things are said."""

from collections.abc import Mapping


def counted(count: int, noun: str) -> str:
    """Return 1 tick, 2 ticks, 1,234 ticks; `noun` is the singular, whose first word gets the s of the plural.

    So `counted(2, "bar restored")` is 2 bars restored.
    """
    first, *others = noun.split(" ")
    return " ".join([f"{count:,}", first if count == 1 else f"{first}s", *others])


def counted_levels(changed: Mapping[str, int]) -> str:
    """Return 3 of 1m, 1 of 5m; levels without changes are left out."""
    return ", ".join(f"{count:,} of {level}" for level, count in changed.items() if count)
