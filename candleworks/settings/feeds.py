"""Feeds and the symbols asked of them."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Discriminator, Field, StrictInt, Tag, field_validator

from candleworks.settings.value_types import DEFAULT_SYMBOLS, FeedUrl, Name, Section, Symbol, VendorSymbol, Word


class Instrument(Section):
    """A symbol that needs more than its name to be found at the vendor."""

    symbol: VendorSymbol
    """The symbol as the vendor lists it."""
    mic_code: Word | None = None
    """Market identifier code of the exchange, such as `XTSE`."""
    exchange: Word | None = None
    """Name of the exchange, such as `Binance`."""
    type: Word | None = None
    """Type of the instrument, such as `ETF`."""
    store_as: Symbol | None = None
    """Symbol under which the ticks are stored. null: the symbol with its exchange, such as `RY:XTSE`."""

    @property
    def name(self) -> str:
        exchange = self.mic_code or self.exchange
        plain = f"{self.symbol}:{exchange}".replace(" ", "_") if exchange else self.symbol
        return self.store_as or plain


def _plain_or_object(value: object) -> str:
    return OBJECT if isinstance(value, dict | Instrument) else PLAIN


PLAIN, OBJECT = "[plain]", "[object]"  # pydantic shows them in the path of an error
Subscription = Annotated[
    Annotated[VendorSymbol, Tag(PLAIN)] | Annotated[Instrument, Tag(OBJECT)], Discriminator(_plain_or_object)
]


class Feed(Section):
    """One WebSocket connection and the symbols it subscribes to."""

    name: Name = "twelvedata"
    """Name of the feed, unique in the file."""
    symbols: tuple[Subscription, ...] = Field(default=DEFAULT_SYMBOLS, min_length=1)
    """Symbols to subscribe to, as text or as objects with the keys below."""
    url: FeedUrl | None = None
    """WebSocket URL of this feed. null: `CANDLEWORKS_FEED_URL`."""
    backfill_days: StrictInt | None = Field(default=None, ge=0, le=3_650)
    """Days of history to load for a new symbol, as one-minute bars. null: 5, or 30 while the feed is simulated."""
    backfill_years: StrictInt = Field(default=0, ge=0, le=30)
    """Years of daily bars to load for the time before that. They fill days and longer periods only."""

    @field_validator("symbols")
    @classmethod
    def _each_symbol_once(cls, symbols: tuple[str | Instrument, ...]) -> tuple[str | Instrument, ...]:
        counts = Counter(map(_stored_name, symbols))
        if repeated := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"each symbol once ({some(repeated)} repeated)")
        return symbols

    @property
    def instruments(self) -> dict[str, str | Instrument]:
        """What to ask the vendor for, by the name under which its ticks are stored."""
        return {_stored_name(symbol): symbol for symbol in self.symbols}

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols as they are stored."""
        return tuple(self.instruments)

    @property
    def tickers(self) -> tuple[str, ...]:
        """The symbols as the vendor lists them, without what singles them out."""
        return tuple(symbol if isinstance(symbol, str) else symbol.symbol for symbol in self.symbols)


def some(symbols: Sequence[str]) -> str:
    """Name the first symbols, and the verb that follows."""
    shown = ", ".join(symbols[:3]) + (f" and {len(symbols) - 3:,} more" if len(symbols) > 3 else "")
    return f"{shown} {'is' if len(symbols) == 1 else 'are'}"


def _stored_name(symbol: str | Instrument) -> str:
    return symbol if isinstance(symbol, str) else symbol.name
