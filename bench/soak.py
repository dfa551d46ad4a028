"""The whole of `up` for as long as `--minutes` says: what grows without end.

100 symbols at 200 ticks/s. The memory of each process, its open files, threads and connections, and the size of each
database are sampled; each line is the slope of one of them after a warm-up. A slope is held against its limit with the
lower end of its interval: what is missed grows for certain.
"""

import contextlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.databases import Databases
from bench.report import Measurement, Options
from bench.running_platform import Platform, running_platform
from bench.slopes import slope
from candleworks import clock
from candleworks.database.connection import connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.errors import TransientError

SYMBOLS = 100
TICKS_PER_SECOND = 200.0
MIB = 2**20
START_TIMEOUT_SECONDS = 300
INTERVAL_SECONDS = 5.0
WARM_UP_SHARE = 0.25  # of the run: imports, caches and pools fill
MIN_SHARE = 0.5  # of the samples that a series needs: what ends earlier is a run of a flow, or was restarted
ROLES = {
    "flows.support.server": "Prefect's server",
    "flows.support.worker": "worker",
    "flows.support.ingest": "stream",
    "candleworks simulate": "simulated feed",
    "candleworks serve": "chart page",
    "candleworks alerts": "alert watch",
    "candleworks up": "up",
}
POSTGRESQL = "PostgreSQL"
DATABASES = "SELECT datname, pg_database_size(oid) FROM pg_database WHERE NOT datistemplate"


class Kind(NamedTuple):
    """What is sampled: `limit` is how much of it may be added in an hour; None where data are meant to accumulate."""

    name: str
    unit: str
    limit: float | None


MEMORY = Kind("memory (PSS)", "MiB", 4.0)
FILES = Kind("open files", "files", 1.0)
THREADS = Kind("threads", "threads", 1.0)
CONNECTIONS = Kind("connections", "connections", 1.0)
PROCESSES = Kind("processes", "processes", 1.0)
SIZE = Kind("size", "MiB", None)
LOGS = Kind("size", "MiB", 4.0)


@dataclass
class Series:
    hours: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


Samples = dict[tuple[str, Kind], Series]


def measure(_: Databases, options: Options) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory(prefix="candleworks-soak-") as directory:
        home = Path(directory)
        configuration = home / "soak.yaml"
        configuration.write_text(json.dumps(_configuration()))
        with running_platform(home, CANDLEWORKS_CONFIG=str(configuration)) as platform:
            _wait_until_complete(platform, home)
            yield from judged(_sampled(platform, home, options.minutes * 60))


def _configuration() -> dict[str, object]:
    symbols = [f"SOAK{number:03}" for number in range(SYMBOLS)]
    # Without history: the process that loads it would end meanwhile, and others would share fewer pages.
    feed = {"name": "twelvedata", "symbols": symbols, "backfill_days": 0}
    return {"feeds": [feed], "simulator": {"rate": TICKS_PER_SECOND}}


def judged(samples: Samples) -> Iterator[Measurement]:
    """Yield the slope of each series that lasted; then one line that names what is not flat."""
    longest = max((len(series.values) for series in samples.values()), default=0)
    growing = []
    for (owner, kind), series in samples.items():
        if len(series.values) >= MIN_SHARE * longest > 1:
            found = _judged(owner, kind, series)
            growing += [owner + ", " + kind.name] if found.met is False else []
            yield found
    yield Measurement("soak: not flat", "; ".join(growing) or "nothing", "", len(growing), "series", budget=0)


def _judged(owner: str, kind: Kind, series: Series) -> Measurement:
    """Return the line of a series; its value is the lower end of the interval of its slope."""
    skipped = int(len(series.values) * WARM_UP_SHARE)
    hours, values = series.hours[skipped:], series.values[skipped:]
    grown = slope(hours, values)
    return Measurement(
        f"soak: {owner}, {kind.name}",
        f"{values[0]:,.0f} to {values[-1]:,.0f} {kind.unit}",
        f"{grown.median:+.1f} ({grown.low:+.1f} to {grown.high:+.1f}) an hour",
        max(0.0, grown.low),
        f"{kind.unit}/h",
        kind.limit,
        details={"hours": series.hours, "values": series.values},
    )


def _wait_until_complete(platform: Platform, home: Path) -> None:
    """Wait for every process; RuntimeError with the names of those that did not start in time."""
    deadline = clock.monotonic() + START_TIMEOUT_SECONDS
    while missing := {*ROLES.values(), POSTGRESQL} - {owner for owner, _ in _processes(platform, home)}:
        _check_running(platform, home)
        if clock.monotonic() > deadline:
            raise RuntimeError(f"`up` did not start within {START_TIMEOUT_SECONDS} s: {', '.join(sorted(missing))}")
        time.sleep(1)


def _check_running(platform: Platform, home: Path) -> None:
    if platform.process.poll() is not None:
        raise RuntimeError(f"`up` has ended: {(home / 'up.out').read_text(errors='replace')[-500:]}")


def _sampled(platform: Platform, home: Path, seconds: float) -> Samples:
    """Sample at intervals; RuntimeError when `up` ends meanwhile."""
    samples: Samples = defaultdict(Series)
    began = clock.monotonic()
    while (elapsed := clock.monotonic() - began) < seconds:
        _check_running(platform, home)
        for key, value in _sample(platform, home).items():
            samples[key].hours.append(elapsed / 3600)
            samples[key].values.append(value)
        time.sleep(INTERVAL_SECONDS)
    return samples


def _sample(platform: Platform, home: Path) -> dict[tuple[str, Kind], float]:
    found: dict[tuple[str, Kind], float] = defaultdict(float)
    for owner, process in _processes(platform, home):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            for kind, value in _state(process).items():
                found[owner, kind] += value
    found["home without databases", LOGS] = _size_mib(home)
    return found | {(name, SIZE): size for name, size in _database_sizes(home).items()}


def _state(process: psutil.Process) -> dict[Kind, float]:
    with process.oneshot():
        return {
            MEMORY: process.memory_full_info().pss / MIB,
            FILES: process.num_fds(),
            THREADS: process.num_threads(),
            CONNECTIONS: len(process.net_connections("all")),
            PROCESSES: 1,
        }


def _processes(platform: Platform, home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the processes that last, each with its name; those of PostgreSQL share one."""
    up = psutil.Process(platform.process.pid)
    for process in (up, *up.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            if owner := next((owner for part, owner in ROLES.items() if part in command), None):
                yield owner, process
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        yield from ((POSTGRESQL, process) for process in (server, *server.children(recursive=True)))


def _database_sizes(home: Path) -> dict[str, float]:
    """Return MiB by database; nothing while the server starts."""
    with contextlib.suppress(TransientError), connect(EmbeddedServer(home).dsn, "soak") as connection:
        return {f"database {name}": size / MIB for name, size in connection.execute(DATABASES)}
    return {}


def _size_mib(home: Path) -> float:
    """Return the size of logs, leases and the like."""
    size = 0
    for path in home.rglob("*"):
        if "postgres" not in path.relative_to(home).parts[:1]:
            with contextlib.suppress(FileNotFoundError):
                size += path.lstat().st_size
    return size / MIB
