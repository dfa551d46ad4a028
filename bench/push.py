"""Tick to browser: how long after it was sent a tick reaches the clients of /stream, and what the stream's log costs.

50 clients follow four symbols at 1,000 ticks a second, with their ticks and the candles of 1s and 1m. The feed numbers
its ticks and notes when it hands them to the socket; this process notes when each client has read a number. So a figure
holds everything: sockets, batching, commit, the server of the page, and this process, which reads all clients itself.
"""

import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.databases import Databases
from bench.live import candleworks_round, client
from bench.paced_feed import SYMBOLS, burst_size
from bench.report import Measurement, Options
from candleworks import clock
from candleworks.database.connection import connect

BUDGET_MS = 150.0
CLIENTS = 50
TICKS_PER_SECOND = 1_000
GRACE_SECONDS = 15
WARM_UP = 1_000  # ticks from before the clients were connected and the processes warm
READ_BYTES = 1 << 20
_NUMBER = re.compile(rb'"price":(\d+)')
WITHOUT_LOG = """
ALTER TABLE stocks_real_time DISABLE TRIGGER log_inserts;
ALTER TABLE quotes DISABLE TRIGGER log_inserts
"""


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    latencies_ms, cores = _latencies_ms(databases, options.seconds)
    p50, p99, highest = (float(value) for value in np.percentile(latencies_ms, (50, 99, 100)))
    yield Measurement(
        f"push: sent to {CLIENTS} clients of /stream",
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {highest:.0f} ms",
        f"{TICKS_PER_SECOND:,} ticks/s, {latencies_ms.size:,} samples, {100 * cores:.0f} % of a core",
        p99,
        unit="ms",
        budget=BUDGET_MS,
        details={"p50_ms": p50, "p99_ms": p99, "max_ms": highest, "server_cores": cores},
    )
    rounds = [(candleworks_round(databases, options.seconds, before), before) for _ in range(options.rounds)
        for before in (None, WITHOUT_LOG)]  # fmt: skip
    paces = [
        statistics.median(one.rows_per_second for one, what in rounds if what == each) for each in (None, WITHOUT_LOG)
    ]
    yield Measurement(
        "push: live path with the log of the stream",
        f"{paces[0]:,.0f} rows/s",
        f"without it: {paces[1]:,.0f} rows/s",
        paces[0] / paces[1],
    )


def _latencies_ms(databases: Databases, seconds: float) -> tuple[NDArray[np.float64], float]:
    """Return a latency for each tick and client, and how many cores the server of the page used."""
    feed = subprocess.Popen(
        [sys.executable, "-m", "bench.paced_feed", str(TICKS_PER_SECOND), str(seconds)], stdout=subprocess.PIPE
    )
    try:
        with databases.fresh(migrated=True) as dsn, ExitStack() as stack:
            url = f"ws://127.0.0.1:{int(feed.stdout.readline())}"
            port, server = stack.enter_context(_serving(dsn))
            _plant(dsn)
            readers = [stack.enter_context(_following(port)) for _ in range(CLIENTS)]
            stack.enter_context(client("bench.candleworks_client", dsn, url, ",".join(SYMBOLS)))
            before, began = sum(server.cpu_times()[:2]), clock.monotonic()
            seen_at = _read(readers, int(seconds * TICKS_PER_SECOND))
            cores = (sum(server.cpu_times()[:2]) - before) / (clock.monotonic() - began)
            sent_at = np.repeat(json.loads(feed.stdout.readline()), burst_size(TICKS_PER_SECOND))
    finally:
        feed.kill()
        feed.wait()
    return ((seen_at - sent_at) * 1_000)[:, WARM_UP:].ravel(), cores


def _following(port: int) -> socket.socket:
    address = f"/stream?symbols={','.join(SYMBOLS)}&periods=1s,1m&ticks=1"
    reader = socket.create_connection(("127.0.0.1", port))
    reader.sendall(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return reader


def _plant(dsn: str) -> None:
    """Store a tick of each symbol: a symbol without any is unknown to the stream."""
    with connect(dsn, "bench") as connection:
        connection.execute("SELECT candleworks.prepare_ticks(now() - interval '1 hour', now())")
        connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price)"
            " SELECT now() - interval '1 hour', s, 1 FROM unnest(%s::text[]) s",
            [list(SYMBOLS)],
        )


@contextmanager
def _serving(dsn: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run the server of the page in a process of its own; yield its port and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "CANDLEWORKS_DSN": dsn}
    command = [sys.executable, "-m", "candleworks", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = clock.monotonic() + GRACE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if clock.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _read(readers: list[socket.socket], ticks: int) -> NDArray[np.float64]:
    """Return when each client had read each number; TimeoutError when one of them lacks some of the measured ones."""
    seen_at = np.full((len(readers), ticks), np.nan)
    rest = [b""] * len(readers)
    waiting = selectors.DefaultSelector()
    for number, reader in enumerate(readers):
        waiting.register(reader, selectors.EVENT_READ, number)
    deadline = clock.monotonic() + ticks / TICKS_PER_SECOND + GRACE_SECONDS
    while np.isnan(seen_at[:, -1]).any():
        if clock.monotonic() > deadline:
            break
        for key, _ in waiting.select(0.1):
            whole, _, rest[key.data] = (rest[key.data] + key.fileobj.recv(READ_BYTES)).rpartition(b"\n\n")  # type: ignore[union-attr]
            found = np.array(_NUMBER.findall(whole), dtype=np.int64)
            seen_at[key.data, found[found < ticks]] = clock.monotonic()
    missing = int(np.isnan(seen_at[:, WARM_UP:]).sum())
    if missing:
        raise TimeoutError(f"{missing} ticks did not reach their clients within {GRACE_SECONDS} s")
    return seen_at
