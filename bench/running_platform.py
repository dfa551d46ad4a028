"""`candleworks up` in a home of its own and on free ports."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STOP_TIMEOUT_SECONDS = 120
PREFECT_SIGN_IN = ("bench", "running")


@dataclass(frozen=True)
class Platform:
    """The process of `up`, its environment, and the addresses of the chart page and of Prefect's server."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    page: str
    prefect: str


@contextmanager
def running_platform(home: Path, **variables: str) -> Iterator[Platform]:
    """Start everything with these environment variables, and stop it at the end of the context."""
    web, prefect = _free_port(), _free_port()
    ours = {"CANDLEWORKS_HOME": home, "CANDLEWORKS_WEB_PORT": web, "CANDLEWORKS_PREFECT_PORT": prefect}
    sign_in = {"PREFECT_SERVER_API_AUTH_STRING": ":".join(PREFECT_SIGN_IN)}
    environment = {**os.environ, **{name: str(value) for name, value in ours.items()}, **sign_in, **variables}
    with (home / "up.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "candleworks", "up"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield Platform(process, environment, f"http://127.0.0.1:{web}", f"http://127.0.0.1:{prefect}")
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
