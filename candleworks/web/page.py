"""`/` and `/assets/`: the chart page, whose every byte comes from this server."""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from candleworks.errors import TerminalError

_ASSETS = Path(__file__).parent / "assets"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_LIBRARY = "lightweight-charts.js"
# The address of an asset holds the hash of all of them, so a browser may keep it for ever.
_FOR_EVER = "public, max-age=31536000, immutable"


def page_routes(*, simulated: bool) -> APIRouter:
    """Return the routes; a page of simulated prices says so."""
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        text = (_ASSETS / "page.html").read_text(encoding="utf-8").replace("{version}", asset_version())
        text = text.replace("{simulated}", "" if simulated else "hidden")
        return Response(text, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})

    @router.api_route("/assets/{version}/{name}", methods=["GET", "HEAD"])
    async def asset(version: str, name: str) -> Response:
        path = _asset_paths().get(name)
        if path is None or version != asset_version():
            raise HTTPException(404, f"There is no asset {name!r} of version {version!r}: load / again.")
        media_type = f"{_TYPES[path.suffix]}; charset=utf-8"
        return Response(path.read_bytes(), media_type=media_type, headers={"Cache-Control": _FOR_EVER})

    @router.api_route("/favicon.ico", methods=["GET", "HEAD"])
    async def favicon(request: Request) -> Response:
        return Response(status_code=308, headers={"Location": f"{request.base_url}assets/{asset_version()}/icon.svg"})

    return router


@cache
def _asset_paths() -> dict[str, Path]:
    own = {path.name: path for path in _ASSETS.iterdir() if path.suffix in _TYPES}
    return {**own, _LIBRARY: _library_path()}


@cache
def asset_version() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for _, path in sorted(_asset_paths().items()))).hexdigest()[:12]


def _library_path() -> Path:
    """Find the charting library inside its package without importing it, which would load pandas and pywebview.

    importlib.resources.files() would import the package.
    """
    package = importlib.util.find_spec("lightweight_charts")
    path = Path(package.origin).parent / "js" / _LIBRARY if package and package.origin else None
    if path is None or not path.is_file():
        raise TerminalError(f"The package lightweight-charts holds no js/{_LIBRARY}: install the pinned version again.")
    return path
