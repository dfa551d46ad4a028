"""The vendor's REST responses that candleworks requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from candleworks.simulate.catalogue import CRYPTO, ETF, FOREX, STOCK, SimulatedInstrument, day_end, day_start
from candleworks.simulate.market import SECOND_US, Market
from candleworks.simulate.series import NO_SYMBOL, VendorError, time_series

_NO_KEY = (
    "**apikey** parameter is incorrect or not specified. You can get your free API key instantly following this link: "
    "https://twelvedata.com/pricing. If you believe that everything is correct, you can contact us at "
    "https://twelvedata.com/contact/customer"
)


@dataclass(frozen=True)
class RestResponse:
    """`body` is encoded as JSON, except bytes, which are sent unchanged."""

    status: int
    body: Any
    is_batch: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """An error in the responses to the next `times` requests for bars, of one symbol or of any.

    `status` is the status of the error; with `in_body` the error is in a response with status 200. With a `status` of
    200 the response is `message` instead of JSON.
    """

    status: int
    message: str
    times: int = 1
    in_body: bool = False
    retry_after_seconds: int | None = None
    symbol: str | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Fault":
        """Raise ValueError for values that are not numbers."""
        retry_after = query.get("retry_after")
        return cls(
            int(query.get("status", "500")),
            query.get("message", "Internal server error"),
            int(query.get("times", "1")),
            query.get("in_body") == "1",
            int(retry_after) if retry_after else None,
            query.get("symbol"),
        )

    @property
    def response(self) -> RestResponse:
        if self.status == HTTPStatus.OK:
            return RestResponse(HTTPStatus.OK, self.message.encode())
        body = VendorError(self.status, self.message).body
        headers = {} if self.retry_after_seconds is None else {"Retry-After": str(self.retry_after_seconds)}
        return RestResponse(HTTPStatus.OK if self.in_body else self.status, body, headers=headers)


class RestApi:
    def __init__(self, market: Market, refused_keys: Iterable[str] = ()) -> None:
        self._market = market
        self._refused_keys = frozenset(refused_keys)
        self.faults: list[Fault] = []
        self.bar_requests = 0

    def admits(self, query: Mapping[str, str], authorization: str = "") -> bool:
        """Whether the key, in the parameter `apikey` or as `Authorization: apikey KEY`, is accepted."""
        scheme, _, in_header = authorization.partition(" ")
        key = query.get("apikey") or (in_header.strip() if scheme.lower() == "apikey" else "")
        return bool(key) and key not in self._refused_keys

    def answer(self, path: str, query: Mapping[str, str], authorization: str, now_us: int) -> RestResponse:
        if not self.admits(query, authorization):
            return RestResponse(HTTPStatus.UNAUTHORIZED, VendorError(HTTPStatus.UNAUTHORIZED, _NO_KEY).body)
        if path == "/time_series":
            self.bar_requests += 1
            if fault := self._next_fault(query.get("symbol", "")):
                return fault.response
        try:
            return self._route(path, query, now_us)
        except VendorError as error:
            return RestResponse(error.code, error.body)

    def _next_fault(self, symbol: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.symbol in (None, symbol):
                fault.times -= 1
                return fault
        return None

    def _route(self, path: str, query: Mapping[str, str], now_us: int) -> RestResponse:
        match path:
            case "/time_series":
                return self._time_series(query, now_us)
            case "/stocks" | "/etfs":
                return _listed(_stock(listed) for listed in self._chosen(STOCK if path == "/stocks" else ETF, query))
            case "/forex_pairs":
                return _listed(_forex_pair(listed) for listed in self._chosen(FOREX, query))
            case "/cryptocurrencies":
                return _listed(_cryptocurrency(listed) for listed in self._chosen(CRYPTO, query))
            case "/market_state":
                return RestResponse(HTTPStatus.OK, self._market_states(query, now_us // SECOND_US))
            case "/technical_indicators":  # requested by the constructor of TDClient
                return RestResponse(HTTPStatus.OK, {"data": {}, "status": "ok"})
        raise VendorError(HTTPStatus.NOT_FOUND, f"Path {path} is not simulated: see https://twelvedata.com/docs")

    def _chosen(self, type_name: str, query: Mapping[str, str]) -> list[SimulatedInstrument]:
        """Return the instruments of a type whose fields equal the query's, case ignored."""
        chosen = [listed for listed in self._market.catalogue if listed.type == type_name]
        for name in ("symbol", "currency_base", "currency_quote", "type"):
            if wanted := query.get(name, "").upper():
                chosen = [listed for listed in chosen if getattr(listed, name).upper() == wanted]
        for query_name, name in (("exchange", "name"), ("mic_code", "mic_code"), ("country", "country")):
            if wanted := query.get(query_name, "").upper():
                chosen = [listed for listed in chosen if getattr(listed.exchange, name).upper() == wanted]
        return chosen

    def _market_states(self, query: Mapping[str, str], now: int) -> list[dict[str, Any]]:
        """Every exchange is open: its day runs from midnight to midnight."""
        exchanges = {listed.exchange.name: listed.exchange for listed in self._market.catalogue if listed.type == STOCK}
        return [
            {
                "name": exchange.name,
                "code": exchange.mic_code,
                "country": exchange.country,
                "is_market_open": True,
                "time_after_open": _hours(now - day_start(exchange.timezone, now)),
                "time_to_open": "00:00:00",
                "time_to_close": _hours(day_end(exchange.timezone, now) - now),
            }
            for exchange in exchanges.values()
            if query.get("exchange", exchange.name).upper() == exchange.name.upper()
            and query.get("code", exchange.mic_code).upper() == exchange.mic_code.upper()
            and query.get("country", exchange.country).upper() == exchange.country.upper()
        ]

    def _time_series(self, query: Mapping[str, str], now_us: int) -> RestResponse:
        symbols = [symbol.strip() for symbol in query.get("symbol", "").split(",") if symbol.strip()]
        if not symbols:
            raise VendorError(HTTPStatus.BAD_REQUEST, NO_SYMBOL)
        if query.get("format", "JSON").upper() != "JSON":
            raise VendorError(HTTPStatus.BAD_REQUEST, "Invalid **format** provided: the simulator supports JSON only.")
        if len(symbols) == 1:
            return RestResponse(HTTPStatus.OK, time_series(self._market, symbols[0], query, now_us))
        return RestResponse(
            HTTPStatus.OK, {symbol: self._series_or_error(symbol, query, now_us) for symbol in symbols}, True
        )

    def _series_or_error(self, symbol: str, query: Mapping[str, str], now_us: int) -> dict[str, Any]:
        try:
            return time_series(self._market, symbol, query, now_us)
        except VendorError as error:
            return error.body


def _listed(rows: Iterable[dict[str, Any]]) -> RestResponse:
    return RestResponse(HTTPStatus.OK, {"data": list(rows), "status": "ok"})


def _stock(listed: SimulatedInstrument) -> dict[str, Any]:
    return {
        "symbol": listed.symbol,
        "name": listed.name,
        "currency": listed.exchange.currency,
        "exchange": listed.exchange.name,
        "mic_code": listed.exchange.mic_code,
        "country": listed.exchange.country,
        "type": listed.type,
    }


def _forex_pair(listed: SimulatedInstrument) -> dict[str, Any]:
    return {
        "symbol": listed.symbol,
        "currency_group": "Major" if "US Dollar" in (listed.currency_base, listed.currency_quote) else "Minor",
        "currency_base": listed.currency_base,
        "currency_quote": listed.currency_quote,
    }


def _cryptocurrency(listed: SimulatedInstrument) -> dict[str, Any]:
    return {
        "symbol": listed.symbol,
        "available_exchanges": [listed.exchange.name],
        "currency_base": listed.currency_base,
        "currency_quote": listed.currency_quote,
    }


def _hours(seconds: int) -> str:
    """`05:20:57`, also for the 25 hours of the day on which clocks go back."""
    hours, rest = divmod(timedelta(seconds=seconds), timedelta(hours=1))
    return f"{hours:02}:{rest.seconds // 60:02}:{rest.seconds % 60:02}"
