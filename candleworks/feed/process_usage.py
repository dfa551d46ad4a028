"""How much processor time and memory this process takes, and what is left on its machine."""

import platform
from pathlib import Path

import psutil

from candleworks.storage.process_samples import ProcessSample


class ProcessUsage:
    """Measures the time between two samples, the first since it was made; `home` need not exist yet.

    psutil.cpu_percent() would compare with the last call of the same thread, and any may call sample().
    """

    def __init__(self, feed: str, home: Path) -> None:
        self._feed = feed
        self._home = home
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._machine_times = psutil.cpu_times()

    def sample(self) -> ProcessSample:
        disk = psutil.disk_usage(str(self._home if self._home.exists() else Path.cwd()))
        return ProcessSample(
            feed=self._feed,
            host=platform.node(),
            cpu_percent=self._process.cpu_percent(),
            memory_bytes=self._process.memory_info().rss,
            machine_cpu_percent=self._machine_cpu_percent(),
            machine_memory_free_bytes=psutil.virtual_memory().available,
            disk_free_bytes=disk.free,
            disk_bytes=disk.total,
        )

    def _machine_cpu_percent(self) -> float:
        """Return the share of all cores since the last call."""
        before, self._machine_times = self._machine_times, psutil.cpu_times()
        spent = [now - then for now, then in zip(self._machine_times, before, strict=True)]
        idle = self._machine_times.idle - before.idle
        return 100 * (1 - idle / sum(spent)) if sum(spent) > 0 else 0.0
