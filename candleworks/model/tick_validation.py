"""Which ticks are accepted: one rule for live ticks, files, bars of the vendor, and replays of rejected ticks."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from candleworks.model.trades import LARGEST, MICROSECONDS, SMALLEST

_DAY_US = 86_400 * MICROSECONDS


class NumberFault(NamedTuple):
    """What can be wrong with a number. `applies` takes one or a column of them; `said` follows its name and value."""

    applies: Callable[[Any], Any]
    said: str


_NEGATIVE = NumberFault(lambda value: value < 0, "is negative")
_ZERO = NumberFault(lambda value: value == 0, "is zero")
_OUT_OF_RANGE = NumberFault(lambda value: (value != 0) & ((value < SMALLEST) | (value > LARGEST)), "is out of range")

VOLUME_FAULTS = (_NEGATIVE, _OUT_OF_RANGE)


def price_faults(*, accept_zero: bool) -> tuple[NumberFault, ...]:
    """Return what can be wrong with a price, a bid or an ask that is a finite number; the first that applies counts."""
    return (_NEGATIVE, _OUT_OF_RANGE) if accept_zero else (_NEGATIVE, _ZERO, _OUT_OF_RANGE)


def fault_of(value: float, faults: Iterable[NumberFault]) -> str | None:
    """Say what is wrong with a finite number; None when nothing is."""
    return next((fault.said for fault in faults if fault.applies(value)), None)


def age_fault(stamp_us: int, received_us: int, max_age_days: int | None) -> str | None:
    """Say how much older than its arrival a live tick is, where that is too much; None: it is not, or nothing is."""
    if max_age_days is None or stamp_us >= received_us - max_age_days * _DAY_US:
        return None
    days = (received_us - stamp_us) // _DAY_US
    return f"stamp {stamp_us // MICROSECONDS} is {days} days older than its arrival"


def price_distance_fault(price: float, known: float, max_factor: float | None) -> str | None:
    """Say that a live price is too far from a known one above 0; a price of 0 is not compared."""
    if max_factor is None or not price or known <= price * max_factor <= known * max_factor * max_factor:
        return None
    side = f"more than {max_factor:g} times" if price > known else f"less than 1/{max_factor:g} of"
    return f"price {price!r} is {side} the last known price {known!r}"
