"""`/ohlc.csv` and `/ohlc.json`: candles of one symbol, oldest first.

Parameters: symbol; period (default 1m); from and to (default: no bound); price (default trade); limit (default 500:
the newest 500 candles that hold any moment of [from, to); at most 50,000). Where the limit cut off older candles, the
`Link` header and the field `next` name the page before this one.
"""

from datetime import UTC, datetime

import orjson
from fastapi import APIRouter, Request, Response
from starlette.datastructures import URL

from candleworks.storage.market import Candle, CandleRange, Market
from candleworks.web.parameters import read_range

_CSV_HEADER = "dt,o,h,l,c,vol\n"


class UnknownSymbolError(LookupError):
    """Nothing was ever stored for the symbol."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"The symbol {symbol!r} is not stored: /symbols lists those that are.")


def ohlc_routes(market: Market) -> APIRouter:
    router = APIRouter()

    @router.api_route("/ohlc.csv", methods=["GET", "HEAD"])
    def ohlc_csv(request: Request) -> Response:
        wanted = read_range(request.query_params.multi_items())
        candles, older = _candles(market, wanted)
        following = _older_page(request, wanted, candles) if older else None
        text = _CSV_HEADER + "".join(map(_csv_line, candles))
        return Response(text, media_type="text/csv; charset=utf-8", headers=_link(following))

    @router.api_route("/ohlc.json", methods=["GET", "HEAD"])
    def ohlc_json(request: Request) -> Response:
        wanted = read_range(request.query_params.multi_items())
        candles, older = _candles(market, wanted)
        following = _older_page(request, wanted, candles) if older else None
        body = {
            "symbol": wanted.symbol,
            "period": wanted.period.name,
            "price": wanted.price,
            "last_tick": iso(market.last_tick(wanted.symbol)),
            "candles": [_json_candle(candle) for candle in candles],
            "next": following,
        }
        return Response(orjson.dumps(body), media_type="application/json", headers=_link(following))

    return router


def iso(moment: datetime | None) -> str | None:
    """Write an aware time as ISO 8601 in UTC that ends in Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _candles(market: Market, wanted: CandleRange) -> tuple[list[Candle], bool]:
    candles, older = market.candles(wanted)
    if not candles and not market.knows(wanted.symbol):
        raise UnknownSymbolError(wanted.symbol)
    return candles, older


def _csv_line(candle: Candle) -> str:
    """Write numbers with the fewest digits that read back as the same number."""
    volume = "" if candle.volume is None else repr(candle.volume)
    prices = f"{candle.open!r},{candle.high!r},{candle.low!r},{candle.close!r}"
    return f"{candle.time:%Y-%m-%dT%H:%M:%SZ},{prices},{volume}\n"


def _json_candle(candle: Candle) -> dict[str, float | int | None]:
    return {**candle._asdict(), "time": int(candle.time.timestamp())}


def _older_page(request: Request, wanted: CandleRange, candles: list[Candle]) -> str:
    parameters: dict[str, object] = {"symbol": wanted.symbol, "period": wanted.period.name, "price": wanted.price}
    if wanted.start is not None:
        parameters["from"] = iso(wanted.start)
    parameters |= {"to": iso(candles[0].time), "limit": wanted.limit}
    return str(URL(str(request.url.replace(query=""))).include_query_params(**parameters))


def _link(following: str | None) -> dict[str, str]:
    return {} if following is None else {"Link": f'<{following}>; rel="next"'}
