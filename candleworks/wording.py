"""How numbers of things are said."""


def counted(count: int, noun: str) -> str:
    """Return 1 tick, 2 ticks, 1,234 ticks; `noun` is the singular, whose first word gets the s of the plural.

    So `counted(2, "bar restored")` is 2 bars restored.
    """
    first, *others = noun.split(" ")
    return " ".join([f"{count:,}", first if count == 1 else f"{first}s", *others])
