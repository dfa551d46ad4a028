"""Real receivers of messages: an HTTP server and a mail server, on loopback."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.serving import in_background

SECRET = "s3cret-token"


class Message(NamedTuple):
    title: str
    text: str
    type: str


class Web:
    """Keeps the messages that it takes, and answers with `status`; `meanwhile` is called before the answer.

    With the status 0 it takes a message and hangs up without a word.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.requests = 0
        self.status = 200
        self.meanwhile: Callable[[], object] = lambda: None
        self.port = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.requests += 1
        if self.status in (0, 200):
            self.messages.append(Message(body["title"], body["message"], body["type"]))
        self.meanwhile()
        if self.status:
            handler.send_response(self.status)
            handler.end_headers()

    @contextmanager
    def listening(self) -> Iterator["Web"]:
        """Listen for the length of a context, a second time on the port of the first."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                web.take(self)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as server, in_background(server, 0.02):
            self.port = server.server_address[1]
            yield self


class _Controller(Controller):
    """A controller that can be given port 0: it knows the port before it knocks there."""

    def _trigger_server(self) -> None:
        assert self.server
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mail:
    """A mail server that keeps what it takes; while it is `busy` it refuses for the time being."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.busy = False
        self.url = ""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - the library's
        if self.busy:
            return "451 try again later"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    @contextmanager
    def listening(self) -> Iterator["Mail"]:
        controller = _Controller(self, hostname="127.0.0.1", port=0, ready_timeout=30)
        controller.start()
        try:
            self.url = (
                f"mailto://127.0.0.1:{controller.port}?from=candleworks@example.org&to=me@example.org&mode=insecure"
            )
            yield self
        finally:
            controller.stop()
