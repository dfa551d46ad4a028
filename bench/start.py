"""From `candleworks up` to the first live candle on the page: on a fresh home, and on one that has run before.

A start is measured with everything installed, on a machine that does nothing else and beside four busy processes.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from bench.databases import Databases
from bench.report import Measurement, Options
from bench.running_platform import PREFECT_SIGN_IN, running_platform
from candleworks import clock

BUDGET_SECONDS = {"first start": 10.0, "second start": 5.0}
SYMBOL = "BTC/USD"
BUSY_PROCESSES = (0, 4)
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.05


@dataclass
class Start:
    """Seconds from the command to the page's first answer, its first candle of this start, and the flow run.

    The run is waited for in the first start of each kind; 0 in the others.
    """

    page: float = 0.0
    candle: float = 0.0
    run: float = 0.0


def measure(_: Databases, options: Options) -> Iterator[Measurement]:
    for processes in BUSY_PROCESSES:
        found: dict[str, list[Start]] = {"first start": [], "second start": []}
        with _busy(processes):
            for number in range(options.starts):
                with tempfile.TemporaryDirectory(prefix="candleworks-start") as home:
                    for starts in found.values():
                        starts.append(_start(Path(home), with_run=number == 0))
        for kind, starts in found.items():
            yield from _measurements(kind, starts, f"{processes} busy processes" if processes else "a quiet machine")


def _measurements(kind: str, starts: list[Start], load: str) -> Iterator[Measurement]:
    for part in fields(Start):
        seconds = [value for start in starts if (value := getattr(start, part.name))]
        yield Measurement(
            f"{kind}: command to {part.name}",
            f"median {statistics.median(seconds):.1f} s, worst of {len(seconds)} {max(seconds):.1f} s",
            load,
            max(seconds),
            unit="s",
            budget=BUDGET_SECONDS[kind] if part.name == "candle" else None,
            details={"seconds": seconds},
        )


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Let so many processes compute for as long as the context lasts."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _start(home: Path, *, with_run: bool) -> Start:
    """Start everything, wait until the candle has been seen, and the run if asked for, and stop it."""
    began = clock.now()
    with running_platform(home) as platform:
        return _watch(platform.process, began, platform.page, platform.prefect if with_run else None)


def _watch(process: subprocess.Popen[bytes], began: datetime, page: str, prefect: str | None) -> Start:
    found = Start()
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        while not (found.candle and (found.run or prefect is None)):
            elapsed = (clock.now() - began).total_seconds()
            if process.poll() is not None or elapsed > PATIENCE_SECONDS:
                raise RuntimeError(f"`up` streamed nothing within {elapsed:.0f} s: {found}")
            with contextlib.suppress(httpx.TransportError):
                if not found.candle and _has_candle(client, page, began):
                    found.candle = elapsed
                found.page = found.page or elapsed
            with contextlib.suppress(httpx.TransportError):
                if prefect and not found.run and _has_run(client, prefect):
                    found.run = elapsed
            time.sleep(POLL_SECONDS)
    return found


def _has_candle(client: httpx.Client, page: str, began: datetime) -> bool:
    """Whether the page has a candle with a tick of this start."""
    answer = client.get(f"{page}/ohlc.json", params={"symbol": SYMBOL, "limit": 1})
    last_tick = answer.json()["last_tick"] if answer.is_success else None
    return bool(last_tick) and datetime.fromisoformat(last_tick) >= began - timedelta(seconds=1)


def _has_run(client: httpx.Client, prefect: str) -> bool:
    """Whether Prefect shows the feed's run as running."""
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    return bool(client.post(f"{prefect}/api/flow_runs/filter", json=running, auth=PREFECT_SIGN_IN).json())
