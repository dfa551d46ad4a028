"""The rules by which rows of files are accepted, as polars expressions; the first fault that applies is reported."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from candleworks.imports.reading import BAR_PRICES
from candleworks.model.bars import OHLC_ORDER, period_of
from candleworks.model.tick_validation import EARLIEST_US, NOT_A_NUMBER, NumberFault, price_faults
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Settings

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_QUOTED_PLACEHOLDER = re.compile(r" '?\{\w+\}'?")


@dataclass(frozen=True)
class Bounds:
    """When the file was read, the latest event time that is accepted, and the faults of prices."""

    received_us: int
    latest_us: int
    price_faults: tuple[NumberFault, ...]


def bounds_at(now_us: int, settings: Settings) -> Bounds:
    """Return the bounds of a file that is read now."""
    ingest = settings.ingest
    latest_us = now_us + ingest.max_future_seconds * MICROSECONDS
    return Bounds(now_us, latest_us, price_faults(accept_zero=ingest.accept_zero_prices))


class RowFault(NamedTuple):
    """A fault: where it applies, and how to say it. `{name}` in the template stands for the text of a column."""

    applies: pl.Expr
    template: str

    @property
    def with_values(self) -> pl.Expr:
        """The sentence for each row, with the texts of its columns."""
        columns = _PLACEHOLDER.findall(self.template)
        return pl.format(_PLACEHOLDER.sub("{}", self.template), *columns) if columns else pl.lit(self.template)

    @property
    def constant(self) -> str:
        """The sentence without values."""
        return _QUOTED_PLACEHOLDER.sub("", self.template)


class NumericColumn(NamedTuple):
    """A column of numbers: its values, and where a value is missing or is not a number though one is required."""

    name: str
    value: pl.Expr
    invalid: pl.Expr
    faults: Sequence[NumberFault]

    def row_faults(self) -> list[RowFault]:
        found = f"{self.name} '{{{self.name}}}'"
        return [
            RowFault(self.invalid | ~self.value.is_finite(), f"{found} {NOT_A_NUMBER}"),
            *(RowFault(fault.applies(self.value), f"{found} {fault.said}") for fault in self.faults),
        ]


def tick_faults(
    time: pl.Expr,
    nonexistent: pl.Expr,
    zone: str | None,
    bounds: Bounds,
    *,
    invalid_symbol: pl.Expr,
    only_symbol: str | None,
    numbers: Iterable[NumericColumn],
) -> list[RowFault]:
    """Return the faults of ticks and bars alike.

    `time` is in microseconds since 1970; `nonexistent` marks times that the clocks of `zone` skipped. `only_symbol` is
    the one symbol that is wanted, None: all.
    """
    faults = [
        RowFault(nonexistent, f"time '{{time}}' does not exist in {zone}"),
        RowFault(time < EARLIEST_US, "time '{time}' is before 1990"),
        RowFault(time > bounds.latest_us, "time '{time}' is in the future"),
        RowFault(invalid_symbol, "invalid symbol '{symbol}'"),
    ]
    if only_symbol is not None:
        faults.append(RowFault(pl.col("symbol") != only_symbol, f"symbol '{{symbol}}' is not {only_symbol}"))
    return faults + [fault for number in numbers for fault in number.row_faults()]


def crossed_fault(bid: pl.Expr, ask: pl.Expr, bid_name: str = "bid", ask_name: str = "ask") -> RowFault:
    """Return the fault of an ask that is below its bid."""
    return RowFault(ask < bid, f"{ask_name} {{{ask_name}}} is below {bid_name} {{{bid_name}}}")


def bar_faults(names: Sequence[str], interval_us: int | None, now_us: int) -> list[RowFault]:
    """Return the faults of bars besides those of their numbers.

    `names` are the open, high, low and close of one side or of bid and ask; their values are in columns such as
    `open value`. The interval is checked once it is known.
    """
    sides = [names[start : start + len(BAR_PRICES)] for start in range(0, len(names), len(BAR_PRICES))]
    faults = [fault for side in sides for fault in _order_faults(dict(zip(BAR_PRICES, side, strict=True)))]
    if len(sides) > 1:
        faults += [
            crossed_fault(pl.col(f"{bid} value"), pl.col(f"{ask} value"), bid, ask)
            for bid, ask in zip(*sides, strict=True)
        ]
    if interval_us is None:
        return faults
    period, start = period_of(interval_us), pl.col("event_us")
    return [
        RowFault(start % interval_us != 0, f"time '{{time}}' is not the start of a {period} bar in UTC"),
        RowFault(start + interval_us > now_us, f"the {period} bar of '{{time}}' is not complete yet"),
        *faults,
    ]


def _order_faults(columns: dict[str, str]) -> list[RowFault]:
    """Return the faults of prices that contradict each other; `columns` are those of open, high, low and close."""
    return [
        RowFault(
            pl.col(f"{columns[upper]} value") < pl.col(f"{columns[lower]} value"),
            f"{columns[upper]} {{{columns[upper]}}} is below {columns[lower]} {{{columns[lower]}}}",
        )
        for lower, upper in OHLC_ORDER
    ]
