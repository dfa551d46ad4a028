"""Says what can be wrong with a row of bars besides its numbers."""

from collections.abc import Sequence

import polars as pl

from candleworks.imports.columns import BAR_PRICES
from candleworks.model.bars import period_of


def bar_faults(names: Sequence[str], interval_us: int | None, now_us: int) -> list[tuple[pl.Expr, pl.Expr]]:
    """List what can be wrong with a bar besides its numbers; its interval counts once it is known."""
    faults = [
        fault for place in range(0, len(names), len(BAR_PRICES)) for fault in _side_faults(*names[place : place + 4])
    ]
    if len(names) > len(BAR_PRICES):
        faults += [
            (pl.col(f"{ask} value") < pl.col(f"{bid} value"), pl.format(f"{ask} {{}} is below {bid} {{}}", ask, bid))
            for bid, ask in zip(names[:4], names[4:], strict=True)
        ]
    if interval_us is None:
        return faults
    said, stamp = period_of(interval_us), pl.col("stamp_us")
    return [
        (stamp % interval_us != 0, pl.format(f"time '{{}}' is not the beginning of a {said} bar in UTC", "time")),
        (stamp + interval_us > now_us, pl.format(f"the {said} bar of '{{}}' has not ended yet", "time")),
        *faults,
    ]


def _side_faults(opened: str, high: str, low: str, close: str) -> list[tuple[pl.Expr, pl.Expr]]:
    highest, lowest = pl.col(f"{high} value"), pl.col(f"{low} value")
    outside = [
        (
            ~pl.col(f"{name} value").is_between(lowest, highest),
            pl.format(f"{name} {{}} is not between {low} {{}} and {high} {{}}", name, low, high),
        )
        for name in (opened, close)
    ]
    return [(highest < lowest, pl.format(f"{high} {{}} is below {low} {{}}", high, low)), *outside]
