"""Counts and sizes in messages."""

from collections.abc import Mapping


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return 1 tick, 2 ticks, 1,234 ticks.

    Without a `plural` the first word gets an s: `counted(2, "bar restored")` is 2 bars restored.
    """
    first, *others = singular.split(" ")
    return f"{count:,} {singular if count == 1 else plural or ' '.join([f'{first}s', *others])}"


def counted_levels(changed: Mapping[str, int]) -> str:
    """Return 3 of 1m, 1 of 5m; levels without changes are left out."""
    return ", ".join(f"{count:,} of {level}" for level, count in changed.items() if count)


def size(count_bytes: int) -> str:
    """Return 999 B, 1.5 kB, 20.0 GB."""
    scaled = float(count_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if scaled < 1000:
            return f"{scaled:,.0f} {unit}" if unit == "B" else f"{scaled:,.1f} {unit}"
        scaled /= 1000
    return f"{scaled:,.1f} TB"
