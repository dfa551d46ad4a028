"""A slow disk holds up what is written to it, and nothing else."""

import logging
import os
import re
import time
from pathlib import Path

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.feed import spool as spool_module
from candleworks.feed.spool_file import SpoolFile, scan
from candleworks.settings import Settings
from tests.feed.streaming import count, price, streaming, until
from tests.feed.vendor import Vendor

SLOW_SECONDS = 1.5
NOTICED_SECONDS = 1.0
NOW = int(time.time())


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_the_event_loop_never_waits_for_the_disk(
    settings: Settings,
    dsn: str,
    vendor: Vendor,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the start, while ticks are spooled and removed, and at the stop; asyncio's debug mode measures it."""
    fdatasync = os.fdatasync

    def slow_fdatasync(file: int) -> None:
        time.sleep(SLOW_SECONDS)
        fdatasync(file)

    def slow_scan(path: Path) -> SpoolFile | None:
        time.sleep(SLOW_SECONDS)
        return scan(path)

    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setattr("os.fdatasync", slow_fdatasync)
    monkeypatch.setattr(spool_module, "scan", slow_scan)
    caplog.set_level(logging.WARNING, "asyncio")
    left = settings.home / "spool" / "twelvedata"
    left.mkdir(parents=True)
    (left / f"{1:020d}-12345678-1234-5678-1234-567812345678.{1:016d}.spool").touch()
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        with connect(dsn, autocommit=False) as other:
            other.execute("LOCK TABLE stocks_real_time IN ACCESS EXCLUSIVE MODE")
            for number in range(10):
                vendor.send(price(NOW, 1.0 + number))
                time.sleep(0.1)
            until(lambda: list(left.glob("*.spool")))
            other.rollback()
        for number in range(10, 20):
            vendor.send(price(NOW, 1.0 + number))
            time.sleep(0.1)
        until(lambda: count(connection) == 20)
    assert not list(left.glob("*.spool"))
    took = [float(seconds) for seconds in re.findall(r"took ([0-9.]+) seconds", caplog.text)]
    assert [seconds for seconds in took if seconds > NOTICED_SECONDS] == []
