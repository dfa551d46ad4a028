"""A websocket server that says exactly what a test wants, byte for byte."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ssl import SSLContext

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.serving import in_background

ACCEPTED = b'{"event":"subscribe-status","status":"ok","success":[{"symbol":"AAPL"}],"fails":null}'


class Vendor:
    """Keeps what it received, and responds to each subscription with `answers`."""

    def __init__(self) -> None:
        self.answers: tuple[bytes, ...] = (ACCEPTED,)
        self.paths: list[str] = []
        self.received: list[str] = []
        self.url = ""
        self._clients: set[ServerConnection] = set()

    def send(self, *frames: bytes) -> bool:
        """Send text frames to every client; it blocks while a client does not read.

        False when there is none, or one is leaving.
        """
        clients = list(self._clients)
        try:
            for client in clients:
                for frame in frames:
                    client.send(frame, text=True)
        except ConnectionClosed:
            return False
        return bool(clients)

    def send_in_pieces(self, *pieces: bytes) -> None:
        """Send one text message as several frames."""
        for client in list(self._clients):
            client.send(iter(pieces), text=True)

    def close(self) -> None:
        """End every connection with the closing handshake, after everything that was sent."""
        for client in list(self._clients):
            client.close(1001)

    def serve(self, connection: ServerConnection) -> None:
        assert connection.request
        self.paths.append(connection.request.path)
        try:
            for message in connection:
                assert isinstance(message, str)
                if "subscribe" in message:
                    for answer in self.answers:
                        connection.send(answer, text=True)
                    self._clients.add(connection)
                self.received.append(message)  # last, so that who has seen it can send
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(connection)

    @contextmanager
    def listening(
        self,
        process_request: Callable[[ServerConnection, Request], Response | None] | None = None,
        tls: SSLContext | None = None,
    ) -> Iterator["Vendor"]:
        with serve(self.serve, "127.0.0.1", 0, compression=None, process_request=process_request, ssl=tls) as server:
            self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{server.socket.getsockname()[1]}/v1/quotes/price"
            with in_background(server):
                yield self
