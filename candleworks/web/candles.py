"""`/ohlc.csv`, `/ohlc.json` and `/gaps.json`: candles and gaps of one symbol, oldest first.

Parameters: symbol; period (default 1m); zone, in whose time days and longer periods begin (default UTC); from and to
(default: unbounded); price (default trade, or bid for a symbol that has only quotes); limit (default 500: the newest
500 candles or gaps that overlap [from, to); at most 50,000). Gaps have no period, zone or price, and those that began
at the same time stay together. Where the limit cut off older ones, the `Link` header and the field `next` hold the URL
of the page before this one.

Candles are `closed` when their bucket is over and no tick of it is known to be missing. JSON always says so, CSV in a
last column with closed=1.

Times in the CSV are UTC, formatted by `time_format`: iso (2026-11-20T14:30:00Z, the default), sql (2026-11-20 14:30:00)
or unix (seconds since 1970). The volume of bid is that of the bid side, of ask that of the ask side, of mid the sum.
"""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Request, Response

from candleworks.candles.reads import CandleRange, CandleReader, GapRange
from candleworks.candles.rounding import rounded_price, rounded_volume
from candleworks.storage.candle_reads import Candle, SymbolGap
from candleworks.web.parameters import CLOSED, TIME_FORMAT, read_flag, read_gap_range, read_range, read_time_format
from candleworks.web.responses import iso, json_answer, link, page_url, require_known

_CSV_HEADER = "dt,o,h,l,c,vol"
_TIMES: dict[str, Callable[[datetime], str]] = {
    "iso": lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}",
    "sql": lambda time: f"{time:%Y-%m-%d %H:%M:%S}",
    "unix": lambda time: str(int(time.timestamp())),
}


def ohlc_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/ohlc.csv", methods=["GET", "HEAD"])
    def ohlc_csv(request: Request) -> Response:
        wanted = read_range(request.query_params.multi_items(), market.default_side, (TIME_FORMAT, CLOSED))
        time_format, closed = read_time_format(request.query_params), read_flag(CLOSED, request.query_params)
        candles, older = _candles(market, wanted)
        others = {TIME_FORMAT: time_format, **({CLOSED: "1"} if closed else {})}
        following = _older_candles(request, wanted, candles, others) if older else None
        text = _csv(candles, _TIMES[time_format], closed=closed)
        return Response(text, media_type="text/csv; charset=utf-8", headers=link(following))

    @router.api_route("/ohlc.json", methods=["GET", "HEAD"])
    def ohlc_json(request: Request) -> Response:
        wanted = read_range(request.query_params.multi_items(), market.default_side)
        candles, older = _candles(market, wanted)
        following = _older_candles(request, wanted, candles, {}) if older else None
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


def gap_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/gaps.json", methods=["GET", "HEAD"])
    def gaps_json(request: Request) -> Response:
        wanted = read_gap_range(request.query_params.multi_items())
        gaps, older = market.gaps(wanted)
        if not gaps:
            require_known(market, wanted.symbol)
        following = _older_gaps(request, wanted, gaps) if older else None
        body = {"symbol": wanted.symbol, "gaps": [_json_gap(gap) for gap in gaps], "next": following}
        return json_answer(body, headers=link(following))

    return router


def _candles(market: CandleReader, wanted: CandleRange) -> tuple[list[Candle], bool]:
    candles, older = market.candles(wanted)
    if not candles:
        require_known(market, wanted.symbol)
    return [_without_noise(candle, wanted.price) for candle in candles], older


def _without_noise(candle: Candle, price: str) -> Candle:
    return candle._replace(
        open=rounded_price(candle.open, price),
        high=rounded_price(candle.high, price),
        low=rounded_price(candle.low, price),
        close=rounded_price(candle.close, price),
        volume=rounded_volume(candle.volume),
    )


def _csv(candles: list[Candle], time: Callable[[datetime], str], *, closed: bool) -> str:
    if not closed:
        return "\n".join([_CSV_HEADER, *(_csv_line(candle, time) for candle in candles), ""])
    lines = (f"{_csv_line(candle, time)},{'true' if candle.closed else 'false'}" for candle in candles)
    return "\n".join([f"{_CSV_HEADER},closed", *lines, ""])


def _csv_line(candle: Candle, time: Callable[[datetime], str]) -> str:
    """Write numbers with the fewest digits that read back as the same number."""
    volume = "" if candle.volume is None else repr(candle.volume)
    prices = f"{candle.open!r},{candle.high!r},{candle.low!r},{candle.close!r}"
    return f"{time(candle.bucket)},{prices},{volume}"


def _json_candle(candle: Candle) -> dict[str, float | int | None]:
    fields = candle._asdict()
    return {"time": int(fields.pop("bucket").timestamp()), **fields}


def _older_candles(request: Request, wanted: CandleRange, candles: list[Candle], others: dict[str, str]) -> str:
    parameters = {
        **others,
        "symbol": wanted.symbol,
        "period": wanted.period.name,
        "price": wanted.price,
        "from": iso(wanted.start),
        "to": iso(candles[0].bucket),
        "limit": wanted.limit,
        "zone": wanted.zone,
    }
    return page_url(request, parameters)


def _json_gap(gap: SymbolGap) -> dict[str, str | None]:
    return {
        "feed": gap.feed,
        "symbol": gap.symbol,
        "started_at": iso(gap.started_at),
        "ended_at": iso(gap.ended_at),
        "reason": gap.reason,
        "filled_at": iso(gap.filled_at),
        "outcome": gap.outcome,
    }


def _older_gaps(request: Request, wanted: GapRange, gaps: list[SymbolGap]) -> str:
    parameters = {
        "symbol": wanted.symbol,
        "from": iso(wanted.start),
        "to": iso(gaps[0].started_at),
        "limit": wanted.limit,
    }
    return page_url(request, parameters)
