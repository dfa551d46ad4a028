"""The web application: the chart page, the candle feeds and the health of both."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from candleworks.candles.reads import CandleReader
from candleworks.errors import CandleworksError
from candleworks.web.gaps import gap_routes
from candleworks.web.health import health_routes
from candleworks.web.metrics import metric_routes
from candleworks.web.ohlc import ohlc_routes
from candleworks.web.page import page_routes
from candleworks.web.parameters import BadParameterError
from candleworks.web.quality import quality_routes
from candleworks.web.responses import UnknownSymbolError, json_answer
from candleworks.web.security import Guard

_STATUS = {BadParameterError: 400, UnknownSymbolError: 404, CandleworksError: 503}


def create_app(market: CandleReader, *, simulated: bool = False) -> FastAPI:
    """Build the application; `simulated` has the page say that its prices are.

    FastAPI's own documentation pages are off because they load scripts from elsewhere.
    """
    app = FastAPI(title="candleworks", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard)
    app.include_router(page_routes(simulated=simulated))
    app.include_router(ohlc_routes(market))
    app.include_router(gap_routes(market))
    app.include_router(health_routes(market))
    app.include_router(metric_routes(market))
    app.include_router(quality_routes(market))
    for expected in (*_STATUS, HTTPException):
        app.add_exception_handler(expected, _refuse)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer with one sentence, as JSON unless the caller came for CSV."""
    if isinstance(error, HTTPException):
        status, sentence, headers = error.status_code, error.detail, error.headers
    else:
        status = next(status for expected, status in _STATUS.items() if isinstance(error, expected))
        sentence, headers = str(error), None
    if request.url.path.endswith(".csv"):
        return Response(f"{sentence}\n", status, headers, "text/plain; charset=utf-8")
    return json_answer({"error": sentence}, status, headers)
