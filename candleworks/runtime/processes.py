"""Child processes of `up`: started with a log file, restarted when they end, gone when we are."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from candleworks import clock

STOP_WITH_STDIN = "CANDLEWORKS_STOP_WITH_STDIN"
LOG_BYTES = 10_000_000
LONGEST_WAIT_SECONDS = 30
HEALTHY_SECONDS = 60  # who ran for so long has earned a restart at once


@dataclass
class Child:
    """One `candleworks` command, or another module, that runs beside us.

    Its standard input is a pipe of ours, so that it notices our end even when we are killed. `environment` is added to
    ours; None takes a variable away. `refusing` says that an exit status above 0 means that it cannot run before
    somebody has changed something. `restarts` counts those since it last ran for HEALTHY_SECONDS.
    """

    name: str
    arguments: list[str]
    environment: Mapping[str, str | None]
    log: Path
    module: str = "candleworks"
    needs_database: bool = True
    refusing: bool = False
    restarts: int = 0
    ending: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _start_at: float | None = None

    def start(self) -> None:
        self._started_at, self._start_at = clock.monotonic(), None
        environment = {**os.environ, **self.environment, STOP_WITH_STDIN: "1"}
        with _open_log(self.log) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                env={name: value for name, value in environment.items() if value is not None},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
            )

    @property
    def refused(self) -> bool:
        """Whether it ended for good."""
        status = self._process.poll() if self._process else None
        return self.refusing and status is not None and status > 0

    @property
    def note(self) -> str | None:
        """What a person should know of it: that it has ended, or keeps ending; None while all is well."""
        if self.refused:
            return f"{self.name} has stopped: {self.last_words}"
        if self._start_at is not None:
            return f"{self.name} {self.ending} and starts again in a moment (log: {self.log})"
        if self.restarts > 1 and clock.monotonic() - self._started_at < HEALTHY_SECONDS:
            return f"{self.name} keeps ending: it {self.ending}, {self.restarts} times in a row (log: {self.log})"
        return None

    def revive(self) -> bool:
        """Start it again when it has ended, later and later while it keeps ending; return whether that happened now."""
        status = self._process.poll() if self._process else None
        if status is None or self.refused:
            return False
        if self._start_at is None:
            self._start_at = clock.monotonic() + self._wait_seconds()
            self.ending = self._ending(status)
        if clock.monotonic() < self._start_at:
            return False
        self.restarts += 1
        self.start()
        return True

    def _ending(self, status: int) -> str:
        if status > 0:
            return f"had ended with status {status} ({self.last_words})"
        return "had died" if status else "had ended"

    def _wait_seconds(self) -> float:
        if clock.monotonic() - self._started_at >= HEALTHY_SECONDS:
            self.restarts = 0
        return min(LONGEST_WAIT_SECONDS, 2 ** (self.restarts - 1)) if self.restarts else 0

    def interrupt(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; past `deadline` (monotonic seconds) it is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - clock.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1] if lines else "it said nothing"


def stop_all(children: list[Child], seconds: float) -> None:
    """End all children at the same time, by force after `seconds`."""
    deadline = clock.monotonic() + seconds
    for child in children:
        child.interrupt()
    for child in children:
        child.wait(deadline)


def stop_with_parent() -> None:
    """When we are somebody's child: treat the end of our standard input as a SIGTERM."""
    if STOP_WITH_STDIN not in os.environ:
        return

    def watch() -> None:
        while os.read(0, 1024):  # sys.stdin's lock, held by a thread that waits, would abort the interpreter's end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
