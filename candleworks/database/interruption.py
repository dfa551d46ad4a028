"""Interrupts threads that wait for the database, from another thread."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import psycopg

from candleworks.database.connection import Connection
from candleworks.errors import TransientError

CANCEL_SECONDS = 0.3


class ConnectionsInUse:
    """The connections that threads are using. Once they have been interrupted, no other one is accepted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._interrupted = False

    def add(self, connection: Connection) -> None:
        """Raise TransientError once the connections have been interrupted."""
        with self._lock:
            if self._interrupted:
                raise TransientError("The process is stopping: start it again to use the database.")
            self._connections.add(connection)

    def discard(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)

    @contextlib.contextmanager
    def using(self, connection: Connection) -> Iterator[Connection]:
        self.add(connection)
        try:
            yield connection
        finally:
            self.discard(connection)

    def interrupt(self) -> None:
        """Cancel what the server does for them, and shut them down: their users get TransientError. Returns at once."""
        with self._lock:
            self._interrupted = True
            found = list(self._connections)
        for connection in found:
            threading.Thread(target=_interrupt, args=[connection], name="interruption", daemon=True).start()


def _interrupt(connection: Connection) -> None:
    """Cancel first: a server that waits for a lock does not notice that its client has gone."""
    with contextlib.suppress(psycopg.Error):
        connection.cancel_safe(timeout=CANCEL_SECONDS)
    shut_down(connection)


def shut_down(connection: Connection) -> None:
    """Shut down a connection's socket: whoever waits for a result gets an error at once."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
