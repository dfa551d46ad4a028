"""Which ticks are accepted: one rule for live ticks, files, adopted tables, vendor bars and retried rejections.

SQL applies the same limits to an adopted table (query reject_staged); a test compares the two over generated rows.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from candleworks.model.trades import MICROSECONDS

EARLIEST_US = 631_152_000 * MICROSECONDS  # 1990-01-01: no vendor has older ticks, an earlier time is an error
# Beyond these the product of a price and a volume, which vwap needs, may overflow, and one tick would stop a refresh.
SMALLEST, LARGEST = 1e-100, 1e100
SYMBOL_PATTERN = "^[A-Za-z0-9][A-Za-z0-9./:^_-]{0,31}$"
NOT_A_NUMBER = "is not a number"
_DAY_US = 86_400 * MICROSECONDS


class NumberFault(NamedTuple):
    """A fault of a number. `applies` takes one number or a column of them; `said` follows the name and the value."""

    applies: Callable[[Any], Any]
    said: str


_NEGATIVE = NumberFault(lambda value: value < 0, "is negative")
_ZERO = NumberFault(lambda value: value == 0, "is zero")
_OUT_OF_RANGE = NumberFault(lambda value: (value != 0) & ((value < SMALLEST) | (value > LARGEST)), "is out of range")

VOLUME_FAULTS = (_NEGATIVE, _OUT_OF_RANGE)


def price_faults(*, accept_zero: bool) -> tuple[NumberFault, ...]:
    """Return the possible faults of a price, a bid or an ask that is a finite number; the first that applies counts."""
    return (_NEGATIVE, _OUT_OF_RANGE) if accept_zero else (_NEGATIVE, _ZERO, _OUT_OF_RANGE)


def number_fault(value: float, faults: Iterable[NumberFault]) -> str | None:
    """Return the fault of a number, such as `is negative`; None when it has none."""
    if not math.isfinite(value):
        return NOT_A_NUMBER
    return next((fault.said for fault in faults if fault.applies(value)), None)


def age_fault(event_us: int, received_us: int, max_age_days: int | None) -> str | None:
    """Return why a live tick is too much older than its arrival; None when it is not, or there is no limit."""
    if max_age_days is None or event_us >= received_us - max_age_days * _DAY_US:
        return None
    days = (received_us - event_us) // _DAY_US
    return f"event time {event_us // MICROSECONDS} is {days} days older than its arrival"


def price_distance_fault(price: float, known: float, max_factor: float | None) -> str | None:
    """Return why a live price is too far from a known one above 0; a price of 0 is not compared."""
    if max_factor is None or not price or known <= price * max_factor <= known * max_factor * max_factor:
        return None
    side = f"more than {max_factor:g} times" if price > known else f"less than 1/{max_factor:g} of"
    return f"price {price!r} is {side} the last known price {known!r}"
