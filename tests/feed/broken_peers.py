"""Peers that break the websocket protocol, each in a way that a seed chooses."""

import base64
import hashlib
import random
import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.serving import in_background

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
LINGER_SECONDS = 0.3  # longer than a test lets a handshake take

Peer = Callable[[socket.socket, random.Random], None]


def request_of(client: socket.socket) -> bytes:
    """Read the request of the handshake."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(65_536)
        if not part:
            break
        received += part
    return received


def accepted(request: bytes) -> bytes:
    """The answer that RFC 6455, 4.2.2 asks for."""
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    digest = base64.b64encode(hashlib.sha1((key[1] if key else b"") + GUID).digest())  # noqa: S324 - of the protocol
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + digest
        + b"\r\n\r\n"
    )


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0) -> bytes:
    """A frame of RFC 6455, 5.2."""
    first = (fin << 7) | (reserved << 4) | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65_536:
        return bytes([first, 126]) + struct.pack("!H", len(payload)) + payload
    return bytes([first, 127]) + struct.pack("!Q", len(payload)) + payload


def _reset(client: socket.socket, _: random.Random) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _close(_: socket.socket, __: random.Random) -> None:
    pass


def _close_after_request(client: socket.socket, _: random.Random) -> None:
    request_of(client)


def _reset_after_request(client: socket.socket, chance: random.Random) -> None:
    request_of(client)
    _reset(client, chance)


def _at_once(data: bytes) -> Peer:
    return lambda client, _: client.sendall(data)


def _noise(client: socket.socket, chance: random.Random) -> None:
    client.sendall(chance.randbytes(chance.randint(1, 4_000)))


def _half_an_answer(client: socket.socket, chance: random.Random) -> None:
    answer = accepted(request_of(client))
    client.sendall(answer[: chance.randint(1, len(answer) - 1)])


def _half_an_answer_and_silence(client: socket.socket, chance: random.Random) -> None:
    _half_an_answer(client, chance)
    time.sleep(LINGER_SECONDS)


def _flipped_answer(client: socket.socket, chance: random.Random) -> None:
    answer = bytearray(accepted(request_of(client)))
    for _ in range(chance.randint(1, 3)):
        answer[chance.randrange(13, len(answer))] = chance.randrange(256)  # the status stays
    client.sendall(answer)


def _answer(head: bytes) -> Peer:
    def send(client: socket.socket, _: random.Random) -> None:
        request_of(client)
        client.sendall(head + b"\r\n\r\n")

    return send


def _then(*frames: bytes) -> Peer:
    """Accept the handshake, and send these bytes."""

    def send(client: socket.socket, chance: random.Random) -> None:
        client.sendall(accepted(request_of(client)))
        for each in frames:
            client.sendall(each)
        _linger(client, chance)

    return send


def _linger(client: socket.socket, chance: random.Random) -> None:
    """Leave the connection open for a moment, read what comes, and end without the closing handshake."""
    client.settimeout(0.05)
    with suppress(TimeoutError):
        client.recv(65_536)
    if chance.random() < 0.3:
        _reset(client, chance)


def _noise_after_the_handshake(client: socket.socket, chance: random.Random) -> None:
    client.sendall(accepted(request_of(client)) + chance.randbytes(chance.randint(1, 4_000)))
    _linger(client, chance)


def _flipped_frame(client: socket.socket, chance: random.Random) -> None:
    data = bytearray(frame(1, b'{"event":"price","symbol":"AAPL","timestamp":1,"price":1.0}') * 3)
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    client.sendall(accepted(request_of(client)) + data)
    _linger(client, chance)


def _half_a_frame(client: socket.socket, chance: random.Random) -> None:
    data = frame(1, b"x" * 500)
    client.sendall(accepted(request_of(client)) + data[: chance.randint(1, len(data) - 1)])
    _linger(client, chance)


HANDSHAKES: tuple[Peer, ...] = (
    _close,
    _reset,
    _close_after_request,
    _reset_after_request,
    _at_once(b"SSH-2.0-OpenSSH_9.6\r\n"),
    _at_once(b"\x15\x03\x03\x00\x02\x02\x28"),  # a TLS alert: handshake failure
    _at_once(b"220 mail.example.com ESMTP\r\n"),
    _at_once(b"\r\n" * 50),
    _at_once(b"HTTP/1.1 101\r\n\r\n"),
    _at_once(b"x" * 200_000),
    _noise,
    _noise,
    _half_an_answer,
    _half_an_answer,
    _half_an_answer_and_silence,
    _flipped_answer,
    _flipped_answer,
    _answer(b"HTTP/1.1 999 Nonsense"),
    _answer(b"HTTP/1.1 000 Nothing"),
    _answer(b"HTTP/1.1 -1 Less"),
    _answer(b"HTTP/9.9 101 Later"),
    _answer(b"HTTP/1.1 101 Switching Protocols\r\nno colon here"),
    _answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade"),
    _answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: close"),
    _answer(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x"
    ),
    _answer(b"HTTP/1.1 101 Switching Protocols\r\n" + b"\r\n".join(b"X-%d: y" % number for number in range(2_000))),
    _answer(b"HTTP/1.1 101 Switching \xff\xfe\r\nX: \x00\xff"),
    _answer(b"HTTP/1.1 302 Found"),
    _answer(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/"),
    _answer(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:99999/"),
    _answer(b"HTTP/1.1 302 Found\r\nLocation: ws://[::1/"),
    _answer(b"HTTP/1.1 301 Moved\r\nLocation: /again"),
    _answer(b"HTTP/1.1 500 Oops\r\nContent-Length: -5"),
    _answer(b"HTTP/1.1 500 Oops\r\nContent-Length: 99999999999999999999"),
    _answer(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n"),
)
FRAMES: tuple[Peer, ...] = (
    _then(),
    _then(frame(3)),
    _then(frame(15, b"x")),
    _then(frame(1, b"x", reserved=4)),
    _then(frame(0, b"continues nothing")),
    _then(frame(1, b"begun", fin=False), frame(1, b"begun again")),
    _then(frame(1, b"begun", fin=False), frame(9, b"ping"), frame(0, b"\xff")),
    _then(frame(9, b"x" * 200)),
    _then(frame(9, b"x", fin=False)),
    _then(*[frame(9, b"ping")] * 200),
    _then(frame(10, b"never asked")),
    _then(b"\x81\x85\x01\x02\x03\x04hello"),  # masked, which a server must not do
    _then(b"\x81\x7f" + b"\xff" * 8),  # a length that no 64-bit number of octets may have
    _then(b"\x81\x7f\x00\x00\x00\x00\x7f\xff\xff\xff" + b"x" * 1_000),
    _then(frame(8)),
    _then(frame(8, b"\x03")),
    _then(frame(8, struct.pack("!H", 999))),
    _then(frame(8, struct.pack("!H", 1005))),
    _then(frame(8, struct.pack("!H", 65_535) + b"\xff\xfe")),
    _then(frame(8, struct.pack("!H", 1000)), frame(1, b"after the end")),
    _then(frame(1, b"")),
    _then(frame(1, b"\xff\xfe\xfd")),
    _then(frame(2, b"\x00" * 1_000)),
    _then(frame(1, b"[" * 100_000)),
    _then(frame(1, b'{"event":"price"')),
    _then(frame(1, b'{"event":"price","symbol":null,"timestamp":1e400,"price":"NaN"}')),
    _then(frame(1, b'{"event":"subscribe-status","success":[null,1,{"symbol":{}}],"fails":7}')),
    _then(frame(1, b'{"event":"error","code":"401","messages":[[]]}')),
    _then(frame(1, b'{"event":{"event":1},"status":[]}')),
    _then(frame(1, b"9" * 20_000)),
    _noise_after_the_handshake,
    _noise_after_the_handshake,
    _flipped_frame,
    _flipped_frame,
    _half_a_frame,
)


class BrokenPeers:
    """Behaves in another way on every connection; after `total` of them it streams `tick` for ever."""

    def __init__(self, total: int, tick: bytes) -> None:
        self.total = total
        self.tick = tick
        self.connections = 0
        self._number = threading.Lock()

    def serve(self, client: socket.socket) -> None:
        with self._number:
            number = self.connections
            self.connections += 1
        with suppress(OSError):
            if number < self.total:
                self._peer(number)(client, random.Random(number))
            else:
                client.sendall(accepted(request_of(client)) + frame(1, self.tick))
                while client.recv(65_536):
                    pass

    @staticmethod
    def _peer(number: int) -> Peer:
        """Every way in turn, handshakes and frames alternately."""
        ways = FRAMES if number % 2 else HANDSHAKES
        return ways[number // 2 % len(ways)]

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Yield the URL."""
        peers = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                peers.serve(self.request)

            def finish(self) -> None:
                self.request.close()  # without the orderly shutdown of the server's own, which a reset must not get

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        with Server(("127.0.0.1", 0), Handler) as server, in_background(server):
            yield f"ws://127.0.0.1:{server.server_address[1]}/v1/quotes/price"
