"""Prefect's server as `up` starts it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from candleworks.web.connections import REQUEST_TIMEOUT_SECONDS
from tests.web.browser import until
from tests.web.test_serve_command import free_port

__all__ = ["free_port"]  # a fixture


@pytest.fixture
def prefect_port(free_port: int, tmp_path: Path) -> Iterator[int]:
    """The port of a server with a database of its own."""
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_PORT": str(free_port),
    }
    process = subprocess.Popen([sys.executable, "-m", "flows.support.server"], env=environment)
    try:
        until(lambda: _healthy(free_port), 120, "Prefect's server")
        yield free_port
    finally:
        process.terminate()
        process.wait(60)


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_half_open_requests_are_closed_and_websockets_stay(prefect_port: int) -> None:
    """The browser and the worker follow events for hours; half a request is kept for seconds."""
    with (
        connect(f"ws://127.0.0.1:{prefect_port}/api/events/in", ping_interval=None) as events,
        socket.create_connection(("127.0.0.1", prefect_port), REQUEST_TIMEOUT_SECONDS + 20) as half_open,
    ):
        half_open.sendall(b"POST /api/flows/ HTTP/1.1\r\n")
        assert half_open.recv(65_536).startswith(b"HTTP/1.1 408 ")
        assert events.ping().wait(10)
