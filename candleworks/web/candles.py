"""`/ohlc.csv`, `/ohlc.json`, `/ohlc.arrow` and `/gaps.json`: candles and gaps of one symbol, oldest first.

Where the limit cut off older ones, the `Link` header and the field `next` hold the URL of the page before this one. The
volume of bid is that of the bid side, of ask that of the ask side, of mid the sum. Volumes and mids are rounded to 15
digits in CSV and JSON; Arrow has them as they are in the database, like the Python reader.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from candleworks.candles.reads import CandleRange, CandleReader, GapRange, rounded_price, rounded_volume
from candleworks.libraries import file_libraries
from candleworks.storage.candle_reads import Candle, SymbolGap
from candleworks.web.openapi import answers
from candleworks.web.parameters import (
    CANDLES,
    CLOSED,
    CSV_CANDLES,
    GAPS,
    TIME_FORMAT,
    Given,
    read_gap_range,
    read_range,
)
from candleworks.web.responses import iso, json_answer, link, page_url, require_known

_CSV_HEADER = "dt,o,h,l,c,vol"
_TIMES: dict[str, Callable[[datetime], str]] = {
    "iso": lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}",
    "sql": lambda time: f"{time:%Y-%m-%d %H:%M:%S}",
    "unix": lambda time: str(int(time.timestamp())),
}


ARROW_TYPE = "application/vnd.apache.arrow.stream"
_CSV_EXAMPLE = "dt,o,h,l,c,vol\n2026-03-02T14:30:00Z,260.5,260.7,260.4,260.6,1810.0\n"
_JSON_EXAMPLE = {
    "symbol": "AAPL",
    "period": "5m",
    "price": "trade",
    "last_tick": "2026-03-02T14:34:58Z",
    "candles": [
        {
            "time": 1772461800,
            "open": 260.5,
            "high": 260.7,
            "low": 260.4,
            "close": 260.6,
            "volume": 1810.0,
            "ticks": 213,
            "rebuilt": False,
            "closed": True,
            "volume_from": "day_volume",
            "volume_before": None,
        }
    ],
    "next": None,
}
_GAPS_EXAMPLE = {
    "symbol": "AAPL",
    "gaps": [
        {
            "feed": "stocks",
            "symbol": None,
            "started_at": "2026-03-02T15:01:10Z",
            "ended_at": "2026-03-02T15:03:42Z",
            "reason": "disconnected",
            "filled_at": "2026-03-02T15:05:00Z",
            "outcome": "filled",
        }
    ],
    "next": None,
}


def ohlc_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/ohlc.csv", methods=["GET", "HEAD"], responses=answers("text/csv", _CSV_EXAMPLE))
    def ohlc_csv(request: Request, given: Annotated[Given, Depends(CSV_CANDLES)]) -> Response:
        """Candles of a symbol as CSV. The volume is empty where no tick had one."""
        wanted = read_range(given, market.default_side)
        time_format, closed = given[TIME_FORMAT], given[CLOSED]
        candles, older = _rounded_candles(market, wanted)
        others = {TIME_FORMAT.name: time_format, **({CLOSED.name: "1"} if closed else {})}
        following = _older_candles(request, wanted, candles, others) if older else None
        text = _csv(candles, _TIMES[time_format], closed=closed)
        return Response(text, media_type="text/csv; charset=utf-8", headers=link(following))

    @router.api_route("/ohlc.json", methods=["GET", "HEAD"], responses=answers("application/json", _JSON_EXAMPLE))
    def ohlc_json(request: Request, given: Annotated[Given, Depends(CANDLES)]) -> Response:
        """Candles of a symbol as JSON. Times are seconds since 1970; `next` is the page of older ones."""
        wanted = read_range(given, market.default_side)
        candles, older = _rounded_candles(market, wanted)
        following = _older_candles(request, wanted, candles, {}) if older else None
        before = market.volumes_before(wanted, candles[0].bucket) if candles else {}
        body = {
            "symbol": wanted.symbol,
            "period": wanted.period.name,
            "price": wanted.price,
            "last_tick": iso(market.last_tick(wanted.symbol, wanted.price)),
            "candles": [_json_candle(candle, before.get(candle.bucket)) for candle in candles],
            "next": following,
        }
        return json_answer(body, headers=link(following))

    @router.api_route("/ohlc.arrow", methods=["GET", "HEAD"], responses=answers(ARROW_TYPE, "(binary)"))
    def ohlc_arrow(request: Request, given: Annotated[Given, Depends(CANDLES)]) -> Response:
        """Candles of a symbol as an Arrow stream. It is the table that the Python reader returns."""
        with file_libraries("Arrow tables cannot be written here"):
            from candleworks.candles.arrow import arrow_stream  # noqa: PLC0415 - pyarrow may be missing
        wanted = read_range(given, market.default_side)
        candles, older = _candles(market, wanted)
        following = _older_candles(request, wanted, candles, {}) if older else None
        return Response(arrow_stream(candles, wanted.zone), media_type=ARROW_TYPE, headers=link(following))

    return router


def gap_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/gaps.json", methods=["GET", "HEAD"], responses=answers("application/json", _GAPS_EXAMPLE))
    def gaps_json(request: Request, given: Annotated[Given, Depends(GAPS)]) -> Response:
        """Gaps that concern a symbol. Those that began at the same time stay on one page."""
        wanted = read_gap_range(given)
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
    return candles, older


def _rounded_candles(market: CandleReader, wanted: CandleRange) -> tuple[list[Candle], bool]:
    candles, older = _candles(market, wanted)
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


def _json_candle(candle: Candle, before: float | None) -> dict[str, float | int | None]:
    fields = candle._asdict()
    return {"time": int(fields.pop("bucket").timestamp()), **fields, "volume_before": rounded_volume(before)}


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
