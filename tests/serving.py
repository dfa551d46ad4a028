"""Servers that answer beside the test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Server(Protocol):
    """What the standard library's servers and those of websockets have in common."""

    @property
    def serve_forever(self) -> Callable[..., None]: ...

    def shutdown(self) -> None: ...


@contextmanager
def in_background(server: Server, *poll_seconds: float) -> Iterator[None]:
    """Let the server answer from a thread for as long as the context lasts."""
    thread = threading.Thread(target=server.serve_forever, args=poll_seconds)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
