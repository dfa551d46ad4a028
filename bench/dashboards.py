"""What open dashboards cost, asked through an installed Grafana as a browser asks it: every panel every five seconds.

Nothing is measured without Grafana: CANDLEWORKS_GRAFANA_HOME names an unpacked one.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import psycopg

from bench.report import Measurement, Options
from candleworks.runtime.grafana import find_grafana
from candleworks.settings import load_settings
from tests.grafana.expansion import DASHBOARDS, Query, queries
from tests.grafana.server import running_grafana

REFRESH_SECONDS = 5.0
AT_ONCE = 6  # requests of a browser to one host


def measure_open(
    dsn: str, engine: str, end: datetime, chosen: dict[str, str | list[str]], options: Options
) -> Iterator[Measurement]:
    """Measure all dashboards open at once, with a refresh of five seconds, on a filled database."""
    if find_grafana(load_settings()) is None:
        return
    asked = [query for query in queries(end, chosen) if query.kind not in ("annotation", "alert")]
    with (
        tempfile.TemporaryDirectory(prefix="candleworks") as home,
        running_grafana(dsn, Path(home)) as (viewer, server),
        psycopg.connect(dsn) as connection,
    ):
        postmaster = psutil.Process(psutil.Process(connection.info.backend_pid).ppid())
        refresh(viewer, asked)  # connections are opened, and caches are filled
        taken, cores = [], []
        for _ in range(max(1, round(options.seconds / REFRESH_SECONDS))):
            before, began = cpu_seconds(postmaster, server), time.monotonic()
            taken += refresh(viewer, asked)
            time.sleep(max(0.0, REFRESH_SECONDS - (time.monotonic() - began)))
            cores.append((cpu_seconds(postmaster, server) - before) / (time.monotonic() - began))
    slowest, what = max(taken)
    yield Measurement(
        f"{engine}: {len(DASHBOARDS)} open dashboards, every {REFRESH_SECONDS:.0f} s",
        f"{100 * statistics.median(cores):.1f} % of a core",
        "PostgreSQL and Grafana together",
        100 * statistics.median(cores),
        unit="%",
        budget=10,
    )
    yield Measurement(
        f"{engine}: a panel through Grafana, median of {len(taken)}",
        f"{statistics.median(ms for ms, _ in taken):.0f} ms",
        f"slowest {slowest:.0f} ms, {what}",
        statistics.median(ms for ms, _ in taken),
        unit="ms",
    )


def refresh(viewer: httpx.Client, asked: Sequence[Query]) -> list[tuple[float, str]]:
    """Ask every query once; return how many milliseconds each took, and whose it is."""
    with ThreadPoolExecutor(AT_ONCE) as browser:
        return list(browser.map(lambda query: _milliseconds(viewer, query), asked))


def _milliseconds(viewer: httpx.Client, query: Query) -> tuple[float, str]:
    body = {"refId": "A", "datasource": {"uid": "candleworks"}, "format": "table", "rawSql": query.expanded()}
    began = time.perf_counter()
    answer = viewer.post("api/ds/query", json={"queries": [body]})
    taken = 1000 * (time.perf_counter() - began)
    if answer.is_error:
        raise RuntimeError(f"{query.where}: {answer.text}")
    return taken, query.where


def cpu_seconds(*roots: psutil.Process) -> float:
    """Return what the processes and their children have used, those that have ended included."""
    return sum(_used(process) for root in roots for process in (root, *root.children(recursive=True)))


def _used(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0
