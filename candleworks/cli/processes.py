"""Child processes of `up`: started with a log file, restarted when they die, gone when we are."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from candleworks import clock

STOP_WITH_STDIN = "CANDLEWORKS_STOP_WITH_STDIN"
LOG_BYTES = 10_000_000
LONGEST_WAIT_SECONDS = 30


@dataclass
class Child:
    """One `candleworks` command, or another module, that runs beside us.

    Its standard input is a pipe of ours, so that it notices our end even when we are killed. `environment` is added to
    ours; None takes a variable away.
    """

    name: str
    arguments: list[str]
    environment: Mapping[str, str | None]
    log: Path
    module: str = "candleworks"
    needs_database: bool = True
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _start_at: float = field(default=0.0)

    def start(self) -> None:
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
    def exit_status(self) -> int | None:
        """None while it runs or waits for its restart, else why it ended for good: 0, 1 or 2."""
        status = self._process.poll() if self._process else None
        return status if status is not None and status >= 0 else None

    def revive(self) -> bool:
        """Start it again when a signal killed it, later and later; return whether that happened now."""
        status = self._process.poll() if self._process else None
        if status is None or status >= 0:
            return False
        if not self._start_at:
            self._start_at = clock.monotonic() + min(LONGEST_WAIT_SECONDS, 2**self.restarts)
        if clock.monotonic() < self._start_at:
            return False
        self._start_at = 0.0
        self.restarts += 1
        self.start()
        return True

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
