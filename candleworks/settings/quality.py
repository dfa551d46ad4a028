"""What checks expect, with exceptions per class and symbol."""

from typing import TypeVar

from pydantic import Field, StrictFloat, StrictInt

from candleworks.settings.value_types import Name, RequiredField, Section, Symbol, SymbolClass

Thresholds = TypeVar("Thresholds", bound=Section)


class TickThresholds(Section):
    """Thresholds for the ticks of a symbol; an exception inherits what it leaves out."""

    required: tuple[RequiredField, ...] = Field(default=("time", "symbol", "price", "received_at"), min_length=1)
    """Columns that must have a value ([required-fields](../checks/required-fields.md))."""
    max_future_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    """Largest lead of the event time over the arrival ([future-ticks](../checks/future-ticks.md))."""
    max_age_seconds: StrictInt = Field(default=3_600, ge=1, le=31_536_000)
    """Largest age of a streamed tick on arrival ([late-ticks](../checks/late-ticks.md))."""
    jump_percent: StrictFloat = Field(default=20.0, gt=0, le=10_000)
    """Largest distance of a price from the recent median ([price-jump](../checks/price-jump.md))."""
    jump_mad: StrictFloat = Field(default=30.0, gt=0, le=10_000)
    """The same in median absolute deviations; both this and `jump_mad_percent` must be exceeded."""
    jump_mad_percent: StrictFloat = Field(default=5.0, gt=0, le=10_000)
    """Smallest distance that counts for `jump_mad`."""
    jump_closed_percent: StrictFloat = Field(default=45.0, gt=0, le=10_000)
    """Largest distance of a price from the recent median while the market is closed."""
    volume_decrease_percent: StrictFloat = Field(default=5.0, gt=0, le=100)
    """Largest decrease of the day volume ([volume-decrease](../checks/volume-decrease.md))."""
    max_spread_percent: StrictFloat = Field(default=5.0, gt=0, le=10_000)
    """Largest spread between bid and ask while the market is open ([wide-spread](../checks/wide-spread.md))."""
    min_rate_percent: StrictFloat = Field(default=10.0, gt=0, le=100)
    """Fewest ticks in an hour, relative to the same hour of other days ([tick-rate](../checks/tick-rate.md))."""


class TickQuality(TickThresholds):
    """Thresholds of the checks of ticks, by symbol, by class or for all; the most specific applies."""

    classes: dict[SymbolClass, TickThresholds] = Field(
        default={"forex": TickThresholds(jump_percent=3.0, jump_mad_percent=1.0, jump_closed_percent=5.0)}
    )
    """Exceptions for `stock`, `crypto` or `forex`, with the keys of `quality.ticks` down to `min_rate_percent`."""
    symbols: dict[Symbol, TickThresholds] = Field(default_factory=dict)
    """Exceptions by symbol, for example `{BRK.A: {max_spread_percent: 10}}`."""
    max_duplicates_percent: StrictFloat = Field(default=20.0, gt=0, le=100)
    """Largest share of duplicates among the ticks of a feed ([duplicates](../checks/duplicates.md))."""

    def of(self, symbol: str, symbol_class: SymbolClass) -> TickThresholds:
        """Return what counts for the symbol."""
        return _narrowest(TickThresholds, self, self.classes.get(symbol_class), self.symbols.get(symbol))


class CandleThresholds(Section):
    """Thresholds for the candles of a symbol; an exception inherits what it leaves out."""

    max_empty_minutes: StrictInt = Field(default=15, ge=1, le=10_000)
    """Most minutes in a row without a candle while the market is open ([empty-minutes](../checks/empty-minutes.md))."""
    bar_tolerance_percent: StrictFloat = Field(default=0.5, gt=0, le=100)
    """Largest difference between a candle and the vendor's bar ([vendor-bars](../checks/vendor-bars.md))."""


class CandleQuality(CandleThresholds):
    """Thresholds of the checks of candles, and how many symbols a run samples."""

    classes: dict[SymbolClass, CandleThresholds] = Field(default_factory=dict)
    """Exceptions for `stock`, `crypto` or `forex`."""
    symbols: dict[Symbol, CandleThresholds] = Field(default_factory=dict)
    """Exceptions by symbol."""
    audited_symbols: StrictInt = Field(default=5, ge=1, le=10_000)
    """Symbols whose candles are compared with their ticks in every run ([candle-audit](../checks/candle-audit.md))."""
    vendor_symbols: StrictInt = Field(default=1, ge=0, le=100)
    """Symbols whose candles are compared with the vendor's bars in a run, one API credit each. 0: none."""

    def of(self, symbol: str, symbol_class: SymbolClass) -> CandleThresholds:
        """Return what counts for the symbol."""
        return _narrowest(CandleThresholds, self, self.classes.get(symbol_class), self.symbols.get(symbol))


class SystemQuality(Section):
    """Thresholds of the checks of the platform."""

    max_lag_ms: StrictInt = Field(default=5_000, ge=1, le=86_400_000)
    """Longest time from the arrival of a tick to its commit ([ingest-lag](../checks/ingest-lag.md))."""
    max_unfilled_gap_hours: StrictInt = Field(default=24, ge=1, le=8_760)
    """Longest time that a gap may stay unfilled ([unfilled-gaps](../checks/unfilled-gaps.md))."""
    max_rejected_percent: StrictFloat = Field(default=1.0, gt=0, le=100)
    """Largest share of rejected ticks of a feed ([rejected](../checks/rejected.md))."""
    max_refresh_lag_seconds: StrictInt = Field(default=300, ge=1, le=86_400)
    """Longest time that a complete candle may wait to be stored ([refresh-lag](../checks/refresh-lag.md))."""
    min_free_disk_mb: StrictInt = Field(default=1_000, ge=1, le=1_000_000_000)
    """Smallest free space on the disk of `CANDLEWORKS_HOME` ([disk](../checks/disk.md))."""


class Quality(Section):
    """Thresholds of the checks, by suite."""

    disabled: tuple[Name, ...] = ()
    """Names of checks that do not run."""
    ticks: TickQuality = TickQuality()
    candles: CandleQuality = CandleQuality()
    system: SystemQuality = SystemQuality()


def _narrowest(kind: type[Thresholds], *levels: Thresholds | None) -> Thresholds:
    """Merge what was set at each level, the narrowest last; the built-in defaults fill the rest."""
    merged = {
        name: getattr(level, name)
        for level in levels
        if level is not None
        for name in kind.model_fields
        if name in level.model_fields_set
    }
    return kind(**merged)
