"""Who may talk to Prefect's server: its own pages, and programs that know the password.

Prefect itself asks for the password (PREFECT_SERVER_API_AUTH_STRING). What it does not do is done here: pages of other
origins and foreign host names are refused, and the first page takes the password from the address that `up` prints.
docs/explanation/security.md tells what is protected from whom.
"""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candleworks.web.security import HOSTS, without_port

SIGN_IN = (Path(__file__).parent / "sign_in.html").read_text(encoding="utf-8")


class OwnPagesOnly:
    """ASGI middleware for HTTP and websockets around Prefect's server.

    `hosts` are the names, without ports, under which it is served; its pages ask the API at `home` alone, so that they
    are opened there. A request of a page of another origin is refused unless it opens a page in a tab of its own:
    nothing of an answer can be read by others then. With `sign_in` the first page is the one that takes the password.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], home: str | None, *, sign_in: bool) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._home = urlsplit(home or "")
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif refusal := self._refusal(scope):
            await _refuse(refusal, scope, receive, send)
        elif self._is_elsewhere(scope):
            there = f"{self._home.scheme}://{self._home.netloc}{scope['path']}"
            await RedirectResponse(there)(scope, receive, _with_headers(send))
        elif self._sign_in and (scope["type"], scope.get("method"), scope["path"]) == ("http", "GET", "/"):
            await HTMLResponse(SIGN_IN, headers=_SIGN_IN_HEADERS)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _is_elsewhere(self, scope: Scope) -> bool:
        """Whether the request opens a page by another loopback name than that of the API, as with localhost."""
        headers = Headers(scope=scope)
        host, port = without_port(headers.get("host", "")), self._home.port
        return _opens_a_page(scope, headers) and host in HOSTS and port is not None and self._home.hostname != host

    def _refusal(self, scope: Scope) -> str | None:
        """Return why the request is refused; None if it is not."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if without_port(host) not in self._hosts:
            return "This host name is not served here."
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "Pages of other origins are refused."
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _opens_a_page(scope, headers):
            return "Pages of other origins are refused."
        return None


def _opens_a_page(scope: Scope, headers: Headers) -> bool:
    return (scope.get("method"), headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (
        "GET",
        "navigate",
        "document",
    )


async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    await JSONResponse({"detail": reason}, status_code=403)(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Frame-Options"] = "DENY"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
        await send(message)

    return send_with_headers


def _inline_hash(element: str) -> str:
    text = SIGN_IN.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_SIGN_IN_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_inline_hash('script')}; style-src {_inline_hash('style')};"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def served_hosts(*urls: str | None) -> set[str]:
    """Return the loopback names, and those in the URLs under which others know the server."""
    return {*HOSTS, *(without_port(urlsplit(url).netloc) for url in urls if url)}
