"""The vendor's lists of what it knows, read through its own package; each list costs one API credit.

https://twelvedata.com/docs#reference-data describes them. Rows as they come:
    /stocks            {"symbol","name","currency","exchange","mic_code","country","type"}
    /etfs              the same without "type"
    /forex_pairs       {"symbol","currency_group","currency_base","currency_quote"}
    /cryptocurrencies  {"symbol","available_exchanges":[...],"currency_base","currency_quote"}
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twelvedata import TDClient
from twelvedata.http_client import DefaultHttpClient

from candleworks.errors import CandleworksError, TerminalError, TransientError, UsageError
from candleworks.settings import VENDOR_REST_URL, Settings

ETF: Final = "ETF"
FOREX: Final = "Physical Currency"  # the types as the vendor's price events carry them
CRYPTO: Final = "Digital Currency"


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument at one place; what the vendor leaves empty is None, `venues` are names and MICs in capitals."""

    symbol: str
    name: str | None
    exchange: str | None
    currency: str | None
    type: str | None
    country: str | None = None
    venues: frozenset[str] = frozenset()


class VendorLists:
    """Asks for lists; `spend` is called before each of them and may wait for a credit.

    Every method raises TransientError (away, credits used up) or TerminalError (key, plan), never with the key in it.
    """

    def __init__(self, settings: Settings, spend: Callable[[], None]) -> None:
        if settings.api_key is None and settings.rest_url == VENDOR_REST_URL:
            raise UsageError(
                f"The lists of {VENDOR_REST_URL} want a key: set TWELVEDATA_API_KEY, or name a CSV file of companies."
            )
        self.credits = 0
        self._spend = spend
        key = settings.api_key.get_secret_value() if settings.api_key else "demo"
        self._client = TDClient(key, http_client=_Http(settings.rest_url, key), base_url=settings.rest_url)

    def stocks(self, exchange: str | None, country: str | None) -> list[Listing]:
        endpoint = self._client.get_stocks_list(exchange=exchange, country=country)
        return [_security(row, _text(row, "type")) for row in self._rows("stocks", endpoint)]

    def etfs(self, exchange: str | None, country: str | None) -> list[Listing]:
        endpoint = self._client.get_etf_list(exchange=exchange, country=country)
        return [_security(row, ETF) for row in self._rows("etfs", endpoint)]

    def forex_pairs(self) -> list[Listing]:
        return [_pair(row, FOREX) for row in self._rows("forex_pairs", self._client.get_forex_pairs_list())]

    def cryptocurrencies(self, exchange: str | None) -> list[Listing]:
        endpoint = self._client.get_cryptocurrencies_list(exchange=exchange)
        return [_pair(row, CRYPTO) for row in self._rows("cryptocurrencies", endpoint)]

    def _rows(self, name: str, endpoint: Any) -> list[Mapping[str, Any]]:
        """Return the rows that name a symbol; what else may stand in a list is of no use."""
        self._spend()
        self.credits += 1
        rows = endpoint.as_json()
        if not isinstance(rows, list):
            raise TransientError(f"The vendor's list {name} has another shape than documented: try again later.")
        return [row for row in rows if isinstance(row, dict) and _text(row, "symbol")]


class _Http(DefaultHttpClient):  # type: ignore[misc] # the package has no types
    """The package's client with errors of ours: its own quote the address, and with it the key, or lose the status."""

    def __init__(self, base_url: str, key: str) -> None:
        super().__init__(base_url)
        self._key = key

    def get(self, relative_url: str, *args: Any, **kwargs: Any) -> Any:
        if relative_url == "/technical_indicators":  # asked by TDClient's constructor; indicators are not used here
            return _NoIndicators()
        try:
            return super().get(relative_url, *args, **kwargs)
        except CandleworksError:
            raise
        except (OSError, ValueError, KeyError) as error:  # requests' own errors are OSErrors
            raise TransientError(
                f"{self.base_url}{relative_url} cannot be read ({type(error).__name__}): check the network and"
                " CANDLEWORKS_REST_URL, or try again later."
            ) from None

    def _raise_error(self, error_code: int, message: str) -> None:
        said = self._vendors_words(message)
        if error_code == 401:
            raise TerminalError(f"{self.base_url} refused the API key ({said}): correct TWELVEDATA_API_KEY.")
        if error_code == 429:
            raise TransientError(f"{self.base_url} has no API credits left for us ({said}): try again in a minute.")
        if error_code >= 500:
            raise TransientError(f"{self.base_url} failed with status {error_code} ({said}): try again later.")
        raise TerminalError(f"{self.base_url} refused with status {error_code} ({said}): see its documentation.")

    def _vendors_words(self, message: str) -> str:
        """Take the sentence out of a body of JSON; without line breaks, without the key, and of bearable length."""
        try:
            body = json.loads(message)
        except ValueError:
            body = message
        words = str(body.get("message", message) if isinstance(body, dict) else body)
        return " ".join(words.replace(self._key, "(key)").split())[:300].rstrip(". ")


class _NoIndicators:
    @staticmethod
    def json() -> dict[str, Any]:
        return {"data": {}}


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
    """Name a pair by both of its sides; the exchange is known only where there is one."""
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
