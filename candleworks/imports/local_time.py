"""Turns wall-clock times of a zone into UTC, twice-told hours and skipped ones included."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from candleworks.imports.times import Integers
from candleworks.model.trades import MICROSECONDS

# In an hour that the clock tells twice, a step back of more than this begins the second time.
STEP_BACK_US = 60 * MICROSECONDS


@dataclass(frozen=True)
class Clock:
    """Where a file stands in an hour that is told twice: its last such time, and whether it is told the second time."""

    last_us: int | None = None
    again: bool = False


class Resolved(NamedTuple):
    """Microseconds since 1970 in UTC; `skipped` times never were, and `ambiguous` ones were told by their order."""

    us: Integers
    skipped: NDArray[np.bool_]
    ambiguous: NDArray[np.bool_]
    clock: Clock


def resolve(local_us: Integers, valid: NDArray[np.bool_], zone: str, clock: Clock) -> Resolved:
    """Resolve times that stand in order of time, as far as the clocks show it; only `valid` ones are looked at."""
    naive = pl.from_epoch(pl.Series(local_us), time_unit="us").dt.cast_time_unit("us")
    first = _utc(naive, zone, "earliest")
    second = _utc(naive, zone, "latest")
    skipped = valid & first.is_null().to_numpy()
    early, late = first.fill_null(0).to_numpy(), second.fill_null(0).to_numpy()
    ambiguous = valid & ~skipped & (early != late)
    if not ambiguous.any():
        return Resolved(early, skipped, ambiguous, clock if not (valid & ~skipped).any() else Clock())
    again, clock = _told_again(local_us, ambiguous, np.cumsum(valid & ~skipped & ~ambiguous), clock)
    return Resolved(np.where(again, late, early), skipped, ambiguous, clock)


def _utc(naive: pl.Series, zone: str, ambiguous: str) -> pl.Series:
    return (
        naive.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
        .dt.convert_time_zone("UTC")
        .dt.epoch("us")
    )


def _told_again(
    local_us: Integers, ambiguous: NDArray[np.bool_], hours: Integers, clock: Clock
) -> tuple[NDArray[np.bool_], Clock]:
    """Tell which ambiguous times belong to the second telling; `hours` counts the unambiguous times before each."""
    again = np.zeros(len(local_us), bool)
    hour = 0
    for index in np.flatnonzero(ambiguous):
        us = int(local_us[index])
        if hours[index] != hour:
            hour, clock = hours[index], Clock()
        stepped_back = clock.last_us is not None and us < clock.last_us - STEP_BACK_US
        clock = replace(clock, last_us=us, again=clock.again or stepped_back)
        again[index] = clock.again
    return again, clock if hours[-1] == hour else Clock()
