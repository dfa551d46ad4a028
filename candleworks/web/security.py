"""Headers on every answer, and a closed door for foreign host names."""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_VERSION = "1"
HOSTS = ("localhost", "127.0.0.1", "[::1]")
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What pages are made of; everything else is for programs, and has a version.
_PAGES = ("text/html", "text/css", "text/javascript", "image/")


class SecurityMiddleware:
    """ASGI middleware.

    Only loopback names are served: otherwise a page on the internet could point a name of its own at 127.0.0.1 and read
    what is stored here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(MutableHeaders(scope=message))
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if _without_port(host) in HOSTS:
            await self.app(scope, receive, send_with_headers)
            return
        refusal = PlainTextResponse(
            f"The host {host!r} is not served here: use one of {', '.join(HOSTS)}.\n", status_code=400
        )
        await refusal(scope, receive, send_with_headers)


def _complete(headers: MutableHeaders) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
    if not headers.get("Content-Type", "text/html").startswith(_PAGES):
        headers["API-Version"] = API_VERSION


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).lower()
