"""Headers on every answer, and a closed door for foreign host names and for addresses that no page of ours has."""

from collections.abc import Mapping
from unicodedata import category
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_VERSION = "1"
HOSTS = ("localhost", "127.0.0.1", "[::1]")
# The longest path is that of an asset, the longest query has 50 symbols of 100 characters.
MAX_PATH_LENGTH = 200
MAX_QUERY_LENGTH = 8_000
MAX_SHOWN_CHARACTERS = 100
HEADERS: Mapping[str, str] = {
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
    """ASGI middleware around the whole application, so that answers to its faults have the headers too.

    Only loopback names are served: otherwise a page on the internet could point a name of its own at 127.0.0.1 and read
    what is stored here (DNS rebinding). Length and characters of an address are checked before anything reads it.
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

        await (_refusal(scope) or self.app)(scope, receive, send_with_headers)


def shown(text: str) -> str:
    """Return as much of a text as an answer repeats."""
    return text[:MAX_SHOWN_CHARACTERS]


def _refusal(scope: Scope) -> Response | None:
    """Return the answer to a request that the application does not get, None for all others."""
    host = Headers(scope=scope).get("host", "")
    if without_port(host) not in HOSTS:
        return _refuse(400, f"The host {shown(host)!r} is not served here: use one of {', '.join(HOSTS)}.")
    path, query = scope["path"], scope["query_string"]
    for part, length, limit in (("path", len(path), MAX_PATH_LENGTH), ("query", len(query), MAX_QUERY_LENGTH)):
        if length > limit:
            return _refuse(414, f"The {part} has {length} characters: send at most {limit}.")
    for part, text in (("path", path), ("query", unquote_to_bytes(query).decode(errors="replace"))):
        if found := next((character for character in text if category(character) == "Cc"), None):
            return _refuse(400, f"The {part} has the control character U+{ord(found):04X}: leave it out.")
    return None


def _refuse(status: int, sentence: str) -> Response:
    return PlainTextResponse(f"{sentence}\n", status)


def _complete(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
    if not headers.get("Content-Type", "text/html").startswith(_PAGES):
        headers["API-Version"] = API_VERSION


def without_port(host: str) -> str:
    """Return the name in a Host header, in lower case."""
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).lower()
