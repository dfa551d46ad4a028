"""`/gaps.json`: the known holes in what was received of one symbol, oldest first.

Parameters: symbol; from and to (default: no bound); limit (default 500: the newest 500 holes that touch [from, to); at
most 50,000, though holes that began at the same moment stay together). Where the limit cut off older ones, the `Link`
header and the field `next` name the page before this one.
"""

from fastapi import APIRouter, Request, Response

from candleworks.candles.reads import CandleReader, GapRange
from candleworks.storage.candle_reads import SymbolGap
from candleworks.web.parameters import read_gap_range
from candleworks.web.responses import iso, json_answer, link, page_address, require_known


def gap_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/gaps.json", methods=["GET", "HEAD"])
    def gaps_json(request: Request) -> Response:
        wanted = read_gap_range(request.query_params.multi_items())
        gaps, older = market.gaps(wanted)
        if not gaps:
            require_known(market, wanted.symbol)
        following = _older_page(request, wanted, gaps) if older else None
        body = {"symbol": wanted.symbol, "gaps": [_json_gap(gap) for gap in gaps], "next": following}
        return json_answer(body, headers=link(following))

    return router


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


def _older_page(request: Request, wanted: GapRange, gaps: list[SymbolGap]) -> str:
    parameters = {
        "symbol": wanted.symbol,
        "from": iso(wanted.start),
        "to": iso(gaps[0].started_at),
        "limit": wanted.limit,
    }
    return page_address(request, parameters)
