"""What several responses have in common: JSON, times, links to further pages, unknown symbols."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from fastapi import Request, Response
from starlette.datastructures import URL

from candleworks.candles.reads import CandleReader


class UnknownSymbolError(LookupError):
    """Nothing was ever stored for the symbol."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"The symbol {symbol!r} is not stored: /symbols lists those that are.")


def require_known(market: CandleReader, symbol: str) -> None:
    """Raise UnknownSymbolError for a symbol without candles and company."""
    if not market.sides(symbol) and not market.has_company(symbol):
        raise UnknownSymbolError(symbol)


def json_answer(content: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON: numbers with the fewest digits that read back as the same number, aware times in ISO 8601."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def iso(moment: datetime | None) -> str | None:
    """Format an aware time as ISO 8601 in UTC, with a trailing Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def page_url(request: Request, parameters: Mapping[str, object]) -> str:
    """Return the URL of the request with other parameters, without those that are None."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return str(URL(str(request.url.replace(query=""))).include_query_params(**given))


def link(following: str | None) -> dict[str, str]:
    """Return the Link header to the next page, if there is one."""
    return {} if following is None else {"Link": f'<{following}>; rel="next"'}
