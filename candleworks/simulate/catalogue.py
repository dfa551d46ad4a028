"""The instruments that the simulated vendor lists, and their exchanges' trading days."""

import csv
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

from candleworks.errors import UsageError

STOCK: Final = "Common Stock"
ETF: Final = "ETF"  # the list exists, and is empty
CRYPTO: Final = "Digital Currency"
FOREX: Final = "Physical Currency"

_PLAUSIBLE_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.^_-]{0,15}(/[A-Z0-9]{2,10})?")


@dataclass(frozen=True)
class Exchange:
    """`mic_code`, `country` and `currency` are empty where the vendor sends them empty."""

    name: str
    mic_code: str
    country: str
    currency: str
    timezone: ZoneInfo


EXCHANGES: Final = {
    exchange.name: exchange
    for exchange in (
        Exchange("NASDAQ", "XNGS", "United States", "USD", ZoneInfo("America/New_York")),
        Exchange("NYSE", "XNYS", "United States", "USD", ZoneInfo("America/New_York")),
        Exchange("TSX", "XTSE", "Canada", "CAD", ZoneInfo("America/Toronto")),
        Exchange("Coinbase Pro", "Coinbase Pro", "", "", ZoneInfo("UTC")),
        Exchange("FOREX", "", "", "", ZoneInfo("UTC")),
    )
}


@dataclass(frozen=True)
class SimulatedInstrument:
    """`price` is the level around which the simulated price moves.

    `daily_volatility` is the usual move of a day as a share of the price, `daily_volume` in shares or coins at the
    default rate, `ticks_per_second` the rate that `--rate` scales.
    """

    symbol: str
    type: str
    exchange: Exchange
    name: str
    currency_base: str = ""
    currency_quote: str = ""
    price: float = 100.0
    digits: int = 2
    daily_volatility: float = 0.015
    daily_volume: float = 5_000_000.0
    ticks_per_second: float = 1.0

    @property
    def has_volume(self) -> bool:
        return self.type != FOREX

    @property
    def has_quote(self) -> bool:
        return self.type != STOCK


class Catalogue:
    """Instruments by row; the row number identifies an instrument everywhere in the simulator."""

    def __init__(self, instruments: Iterable[SimulatedInstrument]) -> None:
        self.instruments: list[SimulatedInstrument] = []
        self._rows: dict[str, list[int]] = {}
        for instrument in instruments:
            self.add(instrument)

    def __iter__(self) -> Iterator[SimulatedInstrument]:
        return iter(self.instruments)

    def add(self, instrument: SimulatedInstrument) -> int:
        self.instruments.append(instrument)
        row = len(self.instruments) - 1
        self._rows.setdefault(instrument.symbol, []).append(row)
        return row

    def find(self, symbol: str, *, exchange: str = "", mic_code: str = "", type_name: str = "") -> int | None:
        """Return the row of `AAPL`, `RY:TSX` or `EUR/USD` that has the other fields given, None when there is none."""
        if symbol in self._rows and not (exchange or mic_code or type_name):
            return self._rows[symbol][0]
        symbol, _, suffix = symbol.strip().upper().partition(":")
        for row in self._rows.get(symbol, ()):
            listed = self.instruments[row]
            venues = {listed.exchange.name.upper(), listed.exchange.mic_code.upper()}
            asked = {venue.upper() for venue in (suffix, exchange, mic_code) if venue}
            if asked <= venues and type_name.upper() in ("", listed.type.upper(), listed.type.upper().split()[-1]):
                return row
        return None

    def find_or_invent(self, symbol: str) -> int:
        """Return the row of `symbol`; an unknown one becomes a simulated stock, or a cryptocurrency if it is a pair."""
        row = self.find(symbol)
        return self.add(_invented(symbol.strip().upper())) if row is None else row

    def find_or_record(self, symbol: str) -> SimulatedInstrument:
        """Return the instrument of a recorded symbol; an unknown one has only a name."""
        row = self.find(symbol)
        if row is not None and self.instruments[row].symbol == symbol.partition(":")[0]:
            return self.instruments[row]
        is_pair = "/" in symbol
        return SimulatedInstrument(
            symbol, CRYPTO if is_pair else STOCK, EXCHANGES["Coinbase Pro" if is_pair else "NASDAQ"], symbol
        )


def built_in_catalogue() -> Catalogue:
    lines = files(__package__).joinpath("catalogue.csv").read_text(encoding="utf-8").splitlines()
    return Catalogue(_listed(row) for row in csv.DictReader(lines))


def _listed(row: dict[str, Any]) -> SimulatedInstrument:
    return SimulatedInstrument(
        symbol=row["symbol"],
        type=row["type"],
        exchange=EXCHANGES[row["exchange"]],
        name=row["name"],
        currency_base=row["currency_base"],
        currency_quote=row["currency_quote"],
        price=float(row["price"]),
        digits=int(row["digits"]),
        daily_volatility=float(row["daily_volatility"]),
        daily_volume=float(row["daily_volume"]),
        ticks_per_second=float(row["ticks_per_second"]),
    )


def _invented(symbol: str) -> SimulatedInstrument:
    ticker, _, venue = symbol.partition(":")
    exchange = EXCHANGES.get(venue or "NASDAQ")
    if exchange is None or not _PLAUSIBLE_SYMBOL.fullmatch(ticker):
        raise UsageError(
            f"symbol {symbol!r} cannot be simulated: give a ticker such as AAPL, one with its exchange such as RY:TSX, "
            "or a pair such as BTC/USD"
        )
    price = 20.0 + zlib.crc32(ticker.encode()) % 38_000 / 100
    base, _, quote = ticker.partition("/")
    if quote:
        venue_of_pairs = EXCHANGES["Coinbase Pro"]
        return SimulatedInstrument(
            ticker, CRYPTO, venue_of_pairs, ticker, currency_base=base, currency_quote=quote, price=price
        )
    return SimulatedInstrument(ticker, STOCK, exchange, ticker, price=price)


@lru_cache(maxsize=16_384)
def _bounds_of_hour(timezone: ZoneInfo, hour: int) -> tuple[int, int]:
    """Return both bounds, the same for all seconds of a UTC hour: no zone used here changes its clock at midnight."""
    local = datetime.fromtimestamp(hour * 3600, UTC).astimezone(timezone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp()), int((midnight + timedelta(days=1)).timestamp())


def day_start(timezone: ZoneInfo, second: int) -> int:
    """Return the first second of the trading day of `second`."""
    return _bounds_of_hour(timezone, second // 3600)[0]


def day_end(timezone: ZoneInfo, second: int) -> int:
    """Return the first second of the next trading day."""
    return _bounds_of_hour(timezone, second // 3600)[1]
