"""`/` and `/assets/`: the chart page, whose every byte comes from this server."""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from candleworks.web.openapi import answers

_ASSETS = Path(__file__).parent / "assets"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# The address of an asset holds the hash of all of them, so a browser may keep it for ever.
_FOR_EVER = "public, max-age=31536000, immutable"


def page_routes(*, simulated: bool) -> APIRouter:
    """Return the routes; a page of simulated prices says so."""
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"], responses=answers("text/html", "<!doctype html>"))
    async def page() -> Response:
        """The chart page."""
        text = asset_text("page.html").replace("{version}", asset_version())
        text = text.replace("{simulated}", "" if simulated else "hidden")
        return Response(text, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})

    @router.api_route("/assets/{version}/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def asset(version: str, name: str) -> Response:
        path = _asset_paths().get(name)
        if path is None or version != asset_version():
            raise HTTPException(404, f"There is no asset {name!r} of version {version!r}: load / again.")
        media_type = f"{_TYPES[path.suffix]}; charset=utf-8"
        return Response(path.read_bytes(), media_type=media_type, headers={"Cache-Control": _FOR_EVER})

    @router.api_route("/favicon.ico", methods=["GET", "HEAD"], include_in_schema=False)
    async def favicon(request: Request) -> Response:
        return Response(status_code=308, headers={"Location": f"{request.base_url}assets/{asset_version()}/icon.svg"})

    return router


@cache
def _asset_paths() -> dict[str, Path]:
    return {path.name: path for path in _ASSETS.rglob("*") if path.suffix in _TYPES}


def asset_text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def asset_version() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for _, path in sorted(_asset_paths().items()))).hexdigest()[:12]
