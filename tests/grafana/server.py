"""An installed Grafana, run by `candleworks grafana` for as long as a test or a measurement needs it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from candleworks.runtime.grafana import HEALTH_PATH
from tests.acceptance.platform import free_port
from tests.web.browser import until

PATIENCE_SECONDS = 60


@contextmanager
def running_grafana(dsn: str, home: Path) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Yield an anonymous viewer and the process once the data source answers; the output is in `home`/grafana.log."""
    port = free_port()
    environment = {
        **os.environ, "CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(home), "CANDLEWORKS_GRAFANA_PORT": str(port),
    }  # fmt: skip
    with (
        (home / "grafana.log").open("wb") as output,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/", timeout=60) as viewer,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "candleworks", "grafana"], env=environment, stdout=output, stderr=output
        )
        try:
            until(lambda: _answers(viewer), PATIENCE_SECONDS, "Grafana")
            yield viewer, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _answers(viewer: httpx.Client) -> bool:
    try:
        return viewer.get(HEALTH_PATH).is_success
    except httpx.TransportError:
        return False
