"""`/watchlist.json`: the newest price and day change of every symbol, and when their markets are open.

With the parameter `since`, the `version` of an earlier answer, only what has changed: `complete` is false then. A
complete answer replaces what a client knows.
"""

import re
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from candleworks import clock
from candleworks.candles.watch_list import WatchedChanges, WatchedPrice, WatchList
from candleworks.storage.watch_list import MarketHours
from candleworks.web.openapi import answers
from candleworks.web.parameters import Given, Parameter, Parameters
from candleworks.web.responses import iso, json_answer

_ALWAYS_OPEN = MarketHours("24/7", "UTC", open=True, closed_at=None, opens_at=None, closes_at=None)


def _read_since(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("the version of an earlier answer")
    return int(text)


SINCE: Parameter[int] = Parameter(
    "since", _read_since, "The version of an earlier answer: only what has changed since.", "0", default="0"
)
PRICES = Parameters(SINCE)
_EXAMPLE = {
    "version": 1772461800000012,
    "complete": True,
    "now": "2026-03-02T14:30:01Z",
    "markets": {
        "XNYS": {
            "zone": "America/New_York",
            "open": True,
            "closed_at": "2026-02-27T21:00:00Z",
            "opens_at": "2026-03-03T14:30:00Z",
            "closes_at": "2026-03-02T21:00:00Z",
        }
    },
    "symbols": [
        {
            "symbol": "AAPL",
            "name": "Apple Inc",
            "exchange": "NASDAQ",
            "type": "Common Stock",
            "sides": ["trade"],
            "calendar": "XNYS",
            "time": "2026-03-02T14:30:00Z",
            "price": 187.4,
            "previous_close": 186.1,
            "change": 1.3,
            "change_percent": 0.6985491671,
            "stopped": None,
        }
    ],
}


def watch_list_routes(watched: WatchList) -> APIRouter:
    router = APIRouter()

    @router.api_route("/watchlist.json", methods=["GET", "HEAD"], responses=answers("application/json", _EXAMPLE))
    def watch_list_json(given: Annotated[Given, Depends(PRICES)]) -> Response:
        """The newest price and day change of every symbol. Also when their markets are open."""
        return json_answer(price_changes(watched.changes(given[SINCE])))

    return router


def price_changes(changes: WatchedChanges) -> dict[str, object]:
    """Return changes as clients get them."""
    return {
        "version": changes.version,
        "complete": changes.complete,
        "now": iso(clock.now()),
        "markets": {market.calendar: _json_market(market) for market in (*changes.markets, _ALWAYS_OPEN)},
        "symbols": [_json_price(price) for price in changes.prices],
    }


def _json_market(market: MarketHours) -> dict[str, object]:
    times: dict[str, datetime | None] = {
        "closed_at": market.closed_at,
        "opens_at": market.opens_at,
        "closes_at": market.closes_at,
    }
    return {"zone": market.zone, "open": market.open, **{name: iso(time) for name, time in times.items()}}


def _json_price(price: WatchedPrice) -> dict[str, object]:
    fields = price._asdict()
    stopped_at, reason = fields.pop("stopped_at"), fields.pop("stop_reason")
    stopped = stopped_at and {"since": iso(stopped_at), "reason": reason}
    return {**fields, "time": iso(price.time), "stopped": stopped}
