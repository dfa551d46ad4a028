r"""File import: from a CSV file to queryable ticks, beside `psql \copy` into the same table.

Both fill `stocks_real_time` with its partitions, unique index and trigger in a fresh database of the same server.
`\copy` gets what it needs from us: partitions made beforehand and a file whose times are unique already. It leaves
volume null, and checks, counts and records nothing. Interpreter start-up is not counted.

Memory is told by a file of quotes ten times as long: its import may not need more. A second import of the same
file, into tables with fresh statistics, tells what the comparison with stored ticks costs, on both engines.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.databases import Databases, single
from bench.quote_file import write_quote_file
from bench.report import Measurement, Options
from bench.stored import engines
from bench.tick_file import TickFile, write_history_file, write_identified_file, write_tick_file
from candleworks import clock
from candleworks.database.binaries import Binaries
from candleworks.database.connection import connect

BUDGET = 0.8
MEMORY_BUDGET = 1.3
AGAIN_BUDGET = 0.5
LARGE = 10  # times the rows of the other file
POLL_SECONDS = 0.01
COPY = "\\copy stocks_real_time (time, symbol, price, day_volume) FROM '{path}' (FORMAT csv, HEADER)"


@dataclass(frozen=True)
class Import:
    """How long until the ticks could be queried, and until the candles were stored as well."""

    ticks_seconds: float
    candles_seconds: float
    peak_mib: int


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    file = write_tick_file(databases.directory / "ticks.csv", options.rows)
    identified = databases.directory / "identified.csv"
    write_identified_file(identified, options.rows)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(_candleworks(databases, file))
        theirs.append(_psql(databases, file, identified))
    ticks = statistics.median(i.ticks_seconds for i in ours)
    candles = statistics.median(i.candles_seconds for i in ours)
    copied = statistics.median(theirs)
    peak_mib = max(i.peak_mib for i in ours)
    psql = f"psql \\copy: {options.rows / copied:,.0f} rows/s"
    details = {"candleworks": [vars(i) for i in ours], "psql_seconds": theirs, "rows": options.rows}
    yield Measurement(
        "import: file to queryable ticks",
        f"{options.rows / ticks:,.0f} rows/s, peak {peak_mib:,} MiB",
        psql,
        copied / ticks,
        budget=BUDGET,
        details=details,
    )
    yield Measurement(
        "import: the same and all candles", f"{options.rows / candles:,.0f} rows/s", psql, copied / candles
    )


def measure_memory(databases: Databases, options: Options) -> Iterator[Measurement]:
    """Import a large file and one a tenth as large, without counting the candles."""
    peaks, seconds = [], []
    for rows in (options.rows, options.rows * LARGE):
        path = write_quote_file(databases.directory, rows)
        run = _candleworks(databases, TickFile(path, rows, 0, 0))
        peaks.append(run.peak_mib)
        seconds.append(run.ticks_seconds)
        path.unlink()
    yield Measurement(
        f"import: peak memory of {options.rows * LARGE:,} quotes",
        f"{peaks[1]:,} MiB, {options.rows * LARGE / seconds[1]:,.0f} rows/s",
        f"{options.rows:,} quotes: {peaks[0]:,} MiB, {options.rows / seconds[0]:,.0f} rows/s",
        peaks[1] / peaks[0],
        unit="times",
        budget=MEMORY_BUDGET,
        details={"peaks_mib": peaks, "seconds": seconds},
    )


def measure_again(databases: Databases, options: Options) -> Iterator[Measurement]:
    """Import a history of one symbol twice; the second time every row is stored already."""
    file = write_history_file(databases.directory / "history.csv", options.rows)
    for engine, server in engines(databases):
        first, again = [], []
        for _ in range(options.rounds):
            with server.fresh(migrated=True) as dsn:
                first.append(_import(dsn, file).ticks_seconds)
                with connect(dsn, "bench") as connection:
                    connection.execute("ANALYZE")
                again.append(_again(dsn, file))
        paces = [options.rows / statistics.median(seconds) for seconds in (again, first)]
        yield Measurement(
            f"{engine}: import again",
            f"{paces[0]:,.0f} rows/s",
            f"first import: {paces[1]:,.0f} rows/s",
            paces[0] / paces[1],
            budget=AGAIN_BUDGET,
            details={"first_seconds": first, "again_seconds": again, "rows": options.rows},
        )


def _candleworks(databases: Databases, file: TickFile) -> Import:
    with databases.fresh(migrated=True) as dsn:
        return _import(dsn, file)


def _import(dsn: str, file: TickFile) -> Import:
    worker = _started(dsn, file)
    committed = _committed(dsn, worker)
    report = _report(worker, stored=file.rows)
    began = report["began"]
    return Import(committed - began, report["ended"] - began, report["peak_mib"])


def _again(dsn: str, file: TickFile) -> float:
    report = _report(_started(dsn, file, "--again"), stored=0)
    return float(report["ended"] - report["began"])


def _started(dsn: str, file: TickFile, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.import_worker", dsn, str(file.path), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _report(worker: subprocess.Popen[bytes], stored: int) -> dict[str, Any]:
    output, _ = worker.communicate()
    report: dict[str, Any] = json.loads(output)
    if report["stored"] != stored:
        raise AssertionError(f"stored {report['stored']} rows, not {stored}")
    return report


def _committed(dsn: str, worker: subprocess.Popen[bytes]) -> float:
    """Return the moment when another session sees the import's record, which is committed with its ticks."""
    with connect(dsn, "bench") as connection:
        while not single(connection, "SELECT count(*) FROM import_files WHERE status = 'imported'"):
            if worker.poll():
                raise RuntimeError(f"the import ended with exit status {worker.returncode}")
            time.sleep(POLL_SECONDS)
    return clock.monotonic()


def _psql(databases: Databases, file: TickFile, identified: Path) -> float:
    with databases.fresh(migrated=True) as dsn, connect(dsn, "bench") as connection:
        span = [datetime.fromtimestamp(second, UTC) for second in (file.first, file.last)]
        connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", span)
        copy = COPY.format(path=identified)
        began = clock.monotonic()
        subprocess.run([Binaries().programs / "psql", "-q", "-X", "-c", copy, dsn], check=True)
        seconds = clock.monotonic() - began
        stored = single(connection, "SELECT count(*) FROM stocks_real_time")
        if stored != file.rows:
            raise AssertionError(f"stored {stored} of {file.rows} rows")
    return seconds
