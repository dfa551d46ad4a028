"""Imports one file and tells what it cost, as a process of its own so that its memory can be told.

Usage: python -m bench.import_worker DSN FILE [--again]
"""

import json
import re
import sys
from pathlib import Path

from candleworks import clock
from candleworks.database.connection import connect
from candleworks.imports.importer import import_file
from candleworks.settings import load_settings


def main(dsn: str, path: str, *options: str) -> None:
    """Print one JSON object; moments are of the monotonic clock, which all processes share."""
    with connect(dsn, "bench import") as connection:
        began = clock.monotonic()
        result = import_file(connection, load_settings({}), Path(path), again="--again" in options)
        ended = clock.monotonic()
    print(json.dumps({"began": began, "ended": ended, "stored": result.record.stored, "peak_mib": _peak_mib()}))


def _peak_mib() -> int:
    """Read the resident set's peak where Linux keeps it: that of getrusage starts at what the parent process had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) >> 10


if __name__ == "__main__":
    main(*sys.argv[1:])
