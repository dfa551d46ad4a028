"""Which numbers a tick may have: one rule for live ticks, files, bars of the vendor, and replays of rejected ticks."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from candleworks.model.trades import LARGEST, SMALLEST


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
