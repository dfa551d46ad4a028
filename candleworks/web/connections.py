"""Connections of HTTP clients: how long a request may take to arrive, and how long an answer may wait for its reader.

Without these limits a client that sends half a request, or reads half an answer, keeps its connection for ever.
"""

import asyncio
import socket
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from candleworks.web.security import HEADERS

REQUEST_TIMEOUT_SECONDS = 10.0
READER_TIMEOUT_SECONDS = 120
_ARRIVING: Final = (h11.IDLE, h11.SEND_BODY)  # states of the client
_UNANSWERED: Final = (h11.IDLE, h11.SEND_RESPONSE)  # states of the server


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP, where a request is complete after REQUEST_TIMEOUT_SECONDS, or its connection is closed.

    The time runs from the connection or the end of the request before. An answer may take as long as it likes, and an
    idle connection is kept for as long as uvicorn's `timeout_keep_alive`.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        upgraded = self.transport.get_protocol() is not self  # to a websocket, which has timeouts of its own
        if self.conn.their_state in _ARRIVING and not upgraded:
            self._watch_request()
        else:
            self._stop_watching()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP; the application never sees it."""
        self._refuse(400, msg)

    def _watch_request(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_SECONDS, self._give_up)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        began = self.conn.our_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        if began:
            self._refuse(408, f"The request was not complete after {REQUEST_TIMEOUT_SECONDS:g} s.")
        else:
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        """Close the connection, with an answer unless another one has begun."""
        if self.conn.our_state in _UNANSWERED:
            self._answer(status, sentence)
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def _answer(self, status: int, sentence: str) -> None:
        headers: dict[str, Any] = {
            **HEADERS,
            "Cache-Control": "no-store",
            "Content-Type": "text/plain; charset=utf-8",
            "Connection": "close",
        }
        answer = h11.Response(status_code=status, headers=list(headers.items()), reason=STATUS_PHRASES[status])
        for event in (answer, h11.Data(data=f"{sentence}\n".encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))


def drop_stalled_readers(listener: socket.socket) -> None:
    """Let the system end connections of the listener whose clients take nothing for READER_TIMEOUT_SECONDS."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READER_TIMEOUT_SECONDS * 1_000)
