"""What a vendor sends is bounded in bytes wherever it waits."""

import json
import signal
import socket
import threading
import time
from pathlib import Path

import psutil

from tests.cli.commands import ended, started
from tests.feed.streaming import until
from tests.feed.vendor import Vendor

FRAMES, FRAME_BYTES = 400, 900_000
LIMIT_BYTES = 16_777_216
SPOOL_BYTES = 33_554_432
GROWTH_BYTES = 6 * LIMIT_BYTES  # buffers, copies of a batch on its way to the disk, and what malloc keeps


def test_huge_frames_do_not_fill_the_memory(vendor: Vendor, tmp_path: Path) -> None:
    """360 MB of them, while the database is away and the spool is full: the feed is slowed."""
    path = tmp_path / "feed.yaml"
    limits = {"max_buffered_bytes": LIMIT_BYTES, "max_spool_bytes": SPOOL_BYTES}
    path.write_text(json.dumps({"feeds": [{"symbols": ["AAPL"], "backfill_days": 0}], "ingest": limits}))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    variables = {
        "CANDLEWORKS_DSN": f"postgresql://nobody@127.0.0.1:{port}/nothing",
        "CANDLEWORKS_CONFIG": path,
        "CANDLEWORKS_FEED_URL": vendor.url,
        "TWELVEDATA_API_KEY": "key",
    }
    frame = b'{"event":"price","symbol":"' + b"A" * FRAME_BYTES + b'"}'
    with started("ingest", directory=tmp_path, **variables) as process:
        until(lambda: vendor.received, 60)
        usage = psutil.Process(process.pid)
        before = usage.memory_info().rss
        sending = threading.Thread(target=lambda: [vendor.send(frame) for _ in range(FRAMES)], daemon=True)
        sending.start()
        peak, deadline = before, time.monotonic() + 15
        while sending.is_alive() and time.monotonic() < deadline:
            peak = max(peak, usage.memory_info().rss)
            time.sleep(0.02)
        assert sum(file.stat().st_size for file in (tmp_path / "home" / "spool").rglob("*.spool")) > LIMIT_BYTES
        assert peak - before < GROWTH_BYTES
        process.send_signal(signal.SIGTERM)
        ended(process)
