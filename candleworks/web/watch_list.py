"""`/watchlist.json`: the newest price and day change of every symbol, and when their markets are open.

With the parameter `since`, the `version` of an earlier answer, only what has changed: `complete` is false then. A
complete answer replaces what a client knows.
"""

import re
from datetime import datetime

from fastapi import APIRouter, Request, Response

from candleworks import clock
from candleworks.candles.watch_list import WatchedChanges, WatchedPrice, WatchList
from candleworks.storage.watch_list import MarketHours
from candleworks.web.parameters import BadParameterError
from candleworks.web.responses import iso, json_answer

_ALWAYS_OPEN = MarketHours("24/7", "UTC", open=True, closed_at=None, opens_at=None, closes_at=None)


def watch_list_routes(watched: WatchList) -> APIRouter:
    router = APIRouter()

    @router.api_route("/watchlist.json", methods=["GET", "HEAD"])
    def watch_list_json(request: Request) -> Response:
        return json_answer(price_changes(watched.changes(_read_since(request))))

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


def _read_since(request: Request) -> int:
    given = request.query_params.get("since", "0")
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise BadParameterError("since", given, "the version of an earlier answer")
    return int(given)


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
