"""The vendor's lists of symbols; each request costs one API credit.

Described at https://twelvedata.com/docs#reference-data. Rows as received:
    /stocks            {"symbol","name","currency","exchange","mic_code","country","type"}
    /etfs              the same without "type"
    /forex_pairs       {"symbol","currency_group","currency_base","currency_quote"}
    /cryptocurrencies  {"symbol","available_exchanges":[...],"currency_base","currency_quote"}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from candleworks.errors import TransientError
from candleworks.settings import Settings
from candleworks.vendor.client import NoCreditsLeftError, VendorClient
from candleworks.vendor.credits import Credits

ETF: Final = "ETF"
FOREX: Final = "Physical Currency"  # the types as the vendor's price events carry them
CRYPTO: Final = "Digital Currency"


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument at one exchange; None is what the vendor leaves empty. `venues` are names and MICs in capitals."""

    symbol: str
    name: str | None
    exchange: str | None
    currency: str | None
    type: str | None
    country: str | None = None
    venues: frozenset[str] = frozenset()


class SymbolLists:
    """Requests lists, each for one credit of the budget that all processes share.

    Every method may wait for a credit, and raises TransientError (vendor away, credits used up) or TerminalError (key
    rejected, list not in the plan); no message contains the key.
    """

    def __init__(self, settings: Settings, budget: Credits) -> None:
        self._client = VendorClient(settings)
        self._budget = budget

    def stocks(self, exchange: str | None, country: str | None) -> list[Listing]:
        rows = self._rows("stocks", exchange=exchange, country=country)
        return [_security(row, _text(row, "type")) for row in rows]

    def etfs(self, exchange: str | None, country: str | None) -> list[Listing]:
        return [_security(row, ETF) for row in self._rows("etfs", exchange=exchange, country=country)]

    def forex_pairs(self) -> list[Listing]:
        return [_pair(row, FOREX) for row in self._rows("forex_pairs")]

    def cryptocurrencies(self, exchange: str | None) -> list[Listing]:
        return [_pair(row, CRYPTO) for row in self._rows("cryptocurrencies", exchange=exchange)]

    def _rows(self, name: str, **parameters: str | None) -> list[Mapping[str, Any]]:
        """Return the rows with a symbol; others are ignored."""
        self._budget.spend()
        try:
            body = self._client.get(f"/{name}", **parameters)
        except NoCreditsLeftError as error:
            self._budget.pause(error.retry_after_seconds, error.vendor_message, whole_day=error.whole_day)
            raise
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise TransientError(f"The vendor's list {name} does not have the documented shape: try again later.")
        return [row for row in rows if isinstance(row, dict) and _text(row, "symbol")]


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _security(row: Mapping[str, Any], type_name: str | None) -> Listing:
    exchange, mic_code = _text(row, "exchange"), _text(row, "mic_code")
    return Listing(
        symbol=str(_text(row, "symbol")),
        name=_text(row, "name"),
        exchange=exchange,
        currency=_text(row, "currency"),
        type=type_name,
        country=_text(row, "country"),
        venues=frozenset(venue.upper() for venue in (exchange, mic_code) if venue),
    )


def _pair(row: Mapping[str, Any], type_name: str) -> Listing:
    """Name a pair by both currencies; the exchange is set only when there is exactly one."""
    symbol = str(_text(row, "symbol"))
    sides = [side for side in (_text(row, "currency_base"), _text(row, "currency_quote")) if side]
    exchanges = [name for name in row.get("available_exchanges") or () if isinstance(name, str) and name]
    return Listing(
        symbol=symbol,
        name=" / ".join(sides) or None,
        exchange=exchanges[0] if len(exchanges) == 1 else None,
        currency=symbol.partition("/")[2] or None,
        type=type_name,
        venues=frozenset(name.upper() for name in exchanges),
    )
