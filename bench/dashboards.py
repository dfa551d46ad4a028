"""What open dashboards cost, asked through an installed Grafana as a browser asks it, panel by panel.

Nothing is measured without Grafana: CANDLEWORKS_GRAFANA_HOME names an unpacked one.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import psycopg

from bench.report import Measurement, Options
from candleworks.runtime.grafana import find_grafana
from candleworks.settings import load_settings
from tests.grafana.expansion import DASHBOARDS, UNITS, Query, dashboard, queries
from tests.grafana.server import running_grafana

REFRESH_SECONDS = 5.0
AT_ONCE = 6  # requests of a browser to one host
WARM_UP_ROUNDS = 50  # each of Grafana's ten connections plans a statement until its sixth call


def measure_open(
    dsn: str, engine: str, end: datetime, chosen: dict[str, str | list[str]], options: Options
) -> Iterator[Measurement]:
    """Measure all dashboards, open at once, on a filled database: every five seconds, and at its own refresh."""
    if find_grafana(load_settings()) is None:
        return
    asked: dict[str, list[Query]] = defaultdict(list)
    for query in queries(end, chosen):
        if query.kind not in ("annotation", "alert"):
            asked[query.where.partition(":")[0]].append(query)
    with (
        tempfile.TemporaryDirectory(prefix="candleworks") as home,
        running_grafana(dsn, Path(home)) as (viewer, server),
        psycopg.connect(dsn) as connection,
    ):
        postmaster = psutil.Process(psutil.Process(connection.info.backend_pid).ppid())
        idle = _cpu_share(lambda: time.sleep(REFRESH_SECONDS), postmaster, server)
        taken, seconds = [], {}
        for name, panels in asked.items():
            for _ in range(WARM_UP_ROUNDS):
                refresh(viewer, panels)
            rounds = max(1, round(options.seconds / REFRESH_SECONDS))
            before = cpu_seconds(postmaster, server)
            for _ in range(rounds):
                taken += refresh(viewer, panels)
            seconds[name] = (cpu_seconds(postmaster, server) - before) / rounds
    often = dict.fromkeys(seconds, REFRESH_SECONDS)
    own = {path.stem: UNITS[(text := dashboard(path)["refresh"])[-1]] * float(text[:-1]) for path in DASHBOARDS}
    costs = {name: f"{1000 * cost:.0f} ms" for name, cost in seconds.items()}
    yield _share(
        f"{engine}: {len(seconds)} open dashboards, every {REFRESH_SECONDS:.0f} s", idle, seconds, often, costs
    )
    yield _share(f"{engine}: {len(seconds)} open dashboards, at their own refresh", idle, seconds, own, costs)
    slowest, what = max(taken)
    yield Measurement(
        f"{engine}: a panel through Grafana, median of {len(taken)}",
        f"{statistics.median(ms for ms, _ in taken):.0f} ms",
        f"slowest {slowest:.0f} ms, {what}",
        statistics.median(ms for ms, _ in taken),
        unit="ms",
    )


def _share(
    name: str, idle: float, seconds: dict[str, float], every: dict[str, float], costs: dict[str, str]
) -> Measurement:
    percent = 100 * (idle + sum(cost / every[which] for which, cost in seconds.items()))
    return Measurement(
        name,
        f"{percent:.1f} % of a core",
        ", ".join(f"{which} {cost}" for which, cost in costs.items()),
        percent,
        unit="%",
        budget=10,
    )


def _cpu_share(action: Callable[[], object], *processes: psutil.Process) -> float:
    """Return how much of a core the processes use during the action."""
    before, began = cpu_seconds(*processes), time.monotonic()
    action()
    return (cpu_seconds(*processes) - before) / (time.monotonic() - began)


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
