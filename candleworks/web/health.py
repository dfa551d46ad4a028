"""`/healthz` and `/symbols`: whether ticks arrive, and which symbols are stored."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from fastapi import APIRouter, Response

from candleworks import clock
from candleworks.candles.reads import CandleReader, sides_of
from candleworks.errors import CandleworksError
from candleworks.storage.candle_reads import StoredSymbol
from candleworks.storage.feeds import StoppedFeed, read_stopped_feeds, ticks_expected
from candleworks.web.openapi import answers
from candleworks.web.responses import iso, json_answer

MAX_TICK_AGE = timedelta(minutes=5)
_HEALTH_EXAMPLE = {
    "status": "ok",
    "database": "ok",
    "last_tick_age_seconds": 0.8,
    "newest_tick": "2026-03-02T14:30:00Z",
    "stopped": [],
}
_SYMBOLS_EXAMPLE = [
    {
        "symbol": "AAPL",
        "name": "Apple Inc",
        "exchange": "NASDAQ",
        "type": "Common Stock",
        "last_tick": "2026-03-02T14:30:00Z",
        "sides": ["trade"],
        "stopped": None,
    }
]


def health_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/healthz", methods=["GET", "HEAD"], responses=answers("application/json", _HEALTH_EXAMPLE))
    def healthz() -> Response:
        """Answer `ok`, `stopped` (a person has stopped every feed), `degraded` (no tick for five minutes), or `down`.

        While the markets of all subscribed symbols are closed, no tick is expected. The status is 503 for `down`, else
        200.
        """
        at = clock.now()
        try:
            newest, stopped = market.newest_tick(), market.read(read_stopped_feeds)
            moving = newest is not None and at - newest <= MAX_TICK_AGE
            well = moving or not market.read(lambda connection: ticks_expected(connection, at, MAX_TICK_AGE))
        except CandleworksError as error:
            return json_answer(_health("down", str(error), None, []), HTTPStatus.SERVICE_UNAVAILABLE)
        status = "stopped" if stopped.everything else "ok" if well else "degraded"
        return json_answer(_health(status, "ok", newest, stopped.feeds))

    return router


def symbol_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/symbols", methods=["GET", "HEAD"], responses=answers("application/json", _SYMBOLS_EXAMPLE))
    def symbols() -> Response:
        """List every symbol that has candles, with the price sides that it has, the default one first."""
        return json_answer([_symbol(symbol) for symbol in market.symbols()])

    return router


def _symbol(stored: StoredSymbol) -> dict[str, object]:
    return {
        "symbol": stored.symbol,
        "name": stored.name,
        "exchange": stored.exchange,
        "type": stored.type,
        "last_tick": iso(stored.last_tick),
        "sides": list(sides_of(traded=stored.traded, quoted=stored.quoted)),
        "stopped": stored.stopped_at and {"since": iso(stored.stopped_at), "reason": stored.stop_reason},
    }


def _health(
    status: str, database: str, newest_tick: datetime | None, stopped: Sequence[StoppedFeed]
) -> dict[str, object]:
    return {
        "status": status,
        "database": database,
        "last_tick_age_seconds": _age_seconds(newest_tick),
        "newest_tick": iso(newest_tick),
        "stopped": [{"feed": feed, "since": iso(since), "reason": reason} for feed, since, reason in stopped],
    }


def _age_seconds(tick: datetime | None) -> float | None:
    """Return an age that is never negative, although vendors' clocks may run ahead."""
    return None if tick is None else max(0.0, (clock.now() - tick).total_seconds())
