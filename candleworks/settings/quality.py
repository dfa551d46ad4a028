"""What checks expect, with exceptions per class and symbol."""

from typing import TypeVar

from pydantic import Field, StrictFloat, StrictInt

from candleworks.settings.value_types import Name, RequiredField, Section, Symbol, SymbolClass

Thresholds = TypeVar("Thresholds", bound=Section)


class TickThresholds(Section):
    """What is normal for the ticks of a symbol; what an exception leaves out is inherited."""

    required: tuple[RequiredField, ...] = Field(default=("time", "symbol", "price", "received_at"), min_length=1)
    max_future_seconds: StrictInt = Field(default=60, ge=0, le=86_400)
    max_age_seconds: StrictInt = Field(default=3_600, ge=1, le=31_536_000)
    jump_percent: StrictFloat = Field(default=20.0, gt=0, le=10_000)
    jump_mad: StrictFloat = Field(default=30.0, gt=0, le=10_000)
    jump_mad_percent: StrictFloat = Field(default=5.0, gt=0, le=10_000)
    jump_closed_percent: StrictFloat = Field(default=45.0, gt=0, le=10_000)
    volume_back_percent: StrictFloat = Field(default=5.0, gt=0, le=100)
    max_spread_percent: StrictFloat = Field(default=5.0, gt=0, le=10_000)
    max_silence_seconds: StrictInt = Field(default=900, ge=5, le=31_536_000)
    never_seen_seconds: StrictInt = Field(default=900, ge=5, le=31_536_000)
    min_rate_percent: StrictFloat = Field(default=10.0, gt=0, le=100)


class TickQuality(TickThresholds):
    """Thresholds of the checks of ticks: for all, for a class of symbols, for one symbol; the narrowest counts."""

    classes: dict[SymbolClass, TickThresholds] = Field(
        default={"forex": TickThresholds(jump_percent=3.0, jump_mad_percent=1.0, jump_closed_percent=5.0)}
    )
    symbols: dict[Symbol, TickThresholds] = Field(default_factory=dict)
    max_feed_silence_seconds: StrictInt = Field(default=300, ge=5, le=31_536_000)
    max_duplicates_percent: StrictFloat = Field(default=20.0, gt=0, le=100)

    def of(self, symbol: str, symbol_class: SymbolClass) -> TickThresholds:
        """Return what counts for the symbol."""
        return _narrowest(TickThresholds, self, self.classes.get(symbol_class), self.symbols.get(symbol))


class CandleThresholds(Section):
    """What is normal for the candles of a symbol; what an exception leaves out is inherited."""

    max_empty_minutes: StrictInt = Field(default=15, ge=1, le=10_000)
    bar_tolerance_percent: StrictFloat = Field(default=0.5, gt=0, le=100)


class CandleQuality(CandleThresholds):
    """Thresholds of the checks of candles, as those of ticks; how many symbols are sampled in a run."""

    classes: dict[SymbolClass, CandleThresholds] = Field(default_factory=dict)
    symbols: dict[Symbol, CandleThresholds] = Field(default_factory=dict)
    audited_symbols: StrictInt = Field(default=5, ge=1, le=10_000)
    vendor_symbols: StrictInt = Field(default=1, ge=0, le=100)

    def of(self, symbol: str, symbol_class: SymbolClass) -> CandleThresholds:
        """Return what counts for the symbol."""
        return _narrowest(CandleThresholds, self, self.classes.get(symbol_class), self.symbols.get(symbol))


class SystemQuality(Section):
    """Thresholds of the checks of the platform itself."""

    max_lag_ms: StrictInt = Field(default=5_000, ge=1, le=86_400_000)
    max_spool_ticks: StrictInt = Field(default=50_000, ge=0, le=1_000_000_000)
    max_open_gap_seconds: StrictInt = Field(default=300, ge=1, le=31_536_000)
    max_unfilled_gap_hours: StrictInt = Field(default=24, ge=1, le=8_760)
    max_rejected_percent: StrictFloat = Field(default=1.0, gt=0, le=100)
    max_refresh_lag_seconds: StrictInt = Field(default=300, ge=1, le=86_400)
    min_free_disk_mb: StrictInt = Field(default=1_000, ge=1, le=1_000_000_000)


class Quality(Section):
    """What checks expect, by suite. `disabled` names checks that do not run."""

    disabled: tuple[Name, ...] = ()
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
