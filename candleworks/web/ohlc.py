"""`/ohlc.csv` and `/ohlc.json`: candles of one symbol, oldest first.

Parameters: symbol; period (default 1m); from and to (default: no bound); price (default trade, or bid for a symbol that
has only quotes); limit (default 500: the newest 500 candles that hold any moment of [from, to); at most 50,000). Where
the limit cut off older candles, the `Link` header and the field `next` name the page before this one.

The CSV has its times in UTC as `time_format` says: iso (2026-11-20T14:30:00Z, the default), sql (2026-11-20 14:30:00)
or unix (seconds since 1970). The volume of bid is that of the bid side, of ask that of the ask side, of mid the sum.
"""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request, Response

from candleworks.candles.reads import CandleRange, CandleReader
from candleworks.storage.candle_reads import Candle
from candleworks.web.parameters import TIME_FORMAT, read_range, read_time_format
from candleworks.web.responses import iso, json_answer, link, page_address, require_known

_CSV_HEADER = "dt,o,h,l,c,vol\n"
_TIMES: dict[str, Callable[[datetime], str]] = {
    "iso": lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}",
    "sql": lambda time: f"{time:%Y-%m-%d %H:%M:%S}",
    "unix": lambda time: str(int(time.timestamp())),
}
# A volume is a sum and a mid is half of one, in binary, so their last digits are noise: 62.759999999999984. A decimal
# number of 15 digits always survives as a double.
_DIGITS = 15


def ohlc_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/ohlc.csv", methods=["GET", "HEAD"])
    def ohlc_csv(request: Request) -> Response:
        wanted = read_range(request.query_params.multi_items(), market.default_side, (TIME_FORMAT,))
        time_format = read_time_format(request.query_params)
        candles, older = _candles(market, wanted)
        following = _older_page(request, wanted, candles, {TIME_FORMAT: time_format}) if older else None
        text = _CSV_HEADER + "".join(_csv_line(candle, _TIMES[time_format]) for candle in candles)
        return Response(text, media_type="text/csv; charset=utf-8", headers=link(following))

    @router.api_route("/ohlc.json", methods=["GET", "HEAD"])
    def ohlc_json(request: Request) -> Response:
        wanted = read_range(request.query_params.multi_items(), market.default_side)
        candles, older = _candles(market, wanted)
        following = _older_page(request, wanted, candles, {}) if older else None
        body = {
            "symbol": wanted.symbol,
            "period": wanted.period.name,
            "price": wanted.price,
            "last_tick": iso(market.last_tick(wanted.symbol, wanted.price)),
            "candles": [_json_candle(candle) for candle in candles],
            "next": following,
        }
        return json_answer(body, headers=link(following))

    return router


def _candles(market: CandleReader, wanted: CandleRange) -> tuple[list[Candle], bool]:
    candles, older = market.candles(wanted)
    if not candles:
        require_known(market, wanted.symbol)
    return [_without_noise(candle, wanted.price) for candle in candles], older


def _without_noise(candle: Candle, price: str) -> Candle:
    volume = candle.volume if candle.volume is None or candle.volume.is_integer() else _rounded(candle.volume)
    if price != "mid":
        return candle._replace(volume=volume)
    return candle._replace(
        open=_rounded(candle.open),
        high=_rounded(candle.high),
        low=_rounded(candle.low),
        close=_rounded(candle.close),
        volume=volume,
    )


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _csv_line(candle: Candle, time: Callable[[datetime], str]) -> str:
    """Write numbers with the fewest digits that read back as the same number."""
    volume = "" if candle.volume is None else repr(candle.volume)
    prices = f"{candle.open!r},{candle.high!r},{candle.low!r},{candle.close!r}"
    return f"{time(candle.bucket)},{prices},{volume}\n"


def _json_candle(candle: Candle) -> dict[str, float | int | None]:
    fields = candle._asdict()
    return {"time": int(fields.pop("bucket").timestamp()), **fields}


def _older_page(request: Request, wanted: CandleRange, candles: list[Candle], others: dict[str, str]) -> str:
    parameters = {
        **others,
        "symbol": wanted.symbol,
        "period": wanted.period.name,
        "price": wanted.price,
        "from": iso(wanted.start),
        "to": iso(candles[0].bucket),
        "limit": wanted.limit,
    }
    return page_address(request, parameters)
