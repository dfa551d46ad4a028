"""Processes: signals that stop them, child processes that are restarted, and ending others within a deadline."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psutil

from candleworks import clock
from candleworks.errors import UsageError
from candleworks.private_files import create_private_directory, open_private, private_directory

STOP_WITH_STDIN = "CANDLEWORKS_STOP_WITH_STDIN"
MAX_LOG_BYTES = 10_000_000
MAX_BACKOFF_SECONDS = 30
KEEPS_ENDING_RESTARTS = 3
HEALTHY_SECONDS = 60  # a child that ran for this long is restarted without back-off
POLL_SECONDS = 0.05
MAX_PID_CHARACTERS = 20

log = logging.getLogger(__name__)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return SIGINT, SIGTERM and SIGHUP (the terminal was closed), the last one unless `nohup` made it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,)))


def on_stop_signal(callback: Callable[[], object]) -> None:
    """Call `callback` at each stop signal; only in the main thread, inside the running event loop."""
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, callback)


def stop_event(duration_seconds: float | None = None) -> asyncio.Event:
    """Return an event that a stop signal or the end of the duration sets; call it inside the running loop."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    if duration_seconds is not None:
        asyncio.get_running_loop().call_later(duration_seconds, stop.set)
    return stop


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait until `stop` is set, but no longer than `seconds`; return whether it is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


def stop_with_parent() -> None:
    """In a child process of ours: treat the end of standard input as a SIGTERM."""
    if STOP_WITH_STDIN not in os.environ:
        return

    def watch() -> None:
        while os.read(0, 1024):  # sys.stdin's lock, held by a waiting thread, would abort the interpreter's shutdown
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


@contextlib.contextmanager
def single_instance(lock: Path, refusal: str, *, required: bool = True) -> Iterator[None]:
    """Hold a lock file; UsageError with `refusal`, its {pid} filled in, when another process holds it.

    OSError when the file cannot be created; only a warning, unless it is `required`.
    """
    try:
        create_private_directory(lock.parent)
        file = open(lock, "a+", opener=open_private)  # noqa: SIM115 - closed below
    except OSError as error:
        if required:
            raise
        log.warning("The lock file %s cannot be created (%s): nothing prevents a second process.", lock, error.strerror)
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UsageError(refusal.replace("{pid}", file.read(MAX_PID_CHARACTERS).strip())) from None
        with contextlib.suppress(OSError):  # on a full disk the lock works without the process number
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


def wait_until(condition: Callable[[], bool], seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Block until the condition holds, at most so many seconds; return whether it does."""
    deadline = clock.monotonic() + seconds
    while not condition():
        if clock.monotonic() > deadline:
            return False
        time.sleep(poll_seconds)
    return True


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_process(pid: int) -> psutil.Process | None:
    """Return the process with this number if it is alive."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if is_alive(process) else None


def listener_of(port: int) -> psutil.Process | None:
    """Return the process that listens on a port of this machine; None where another user's process cannot be seen."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.Error:
        return None
    numbers = [
        each.pid for each in found if each.status == psutil.CONN_LISTEN and each.laddr[1:] == (port,) and each.pid
    ]
    return find_process(numbers[0]) if numbers else None


def end_processes(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Terminate the processes and kill those that are alive after so many seconds; return the killed ones.

    None of them is waited for as a child, so that whoever started it still gets its exit status.
    """
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    wait_until(lambda: not any(map(is_alive, processes)), seconds)
    left = [process for process in processes if is_alive(process)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return left


def log_to_stderr(level: str) -> None:
    """Log as plain lines that start with the UTC time."""
    handler = logging.StreamHandler()
    handler.setFormatter(_UtcFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    for name in ("httpx", "websockets"):  # one line for every request and connection
        logging.getLogger(name).setLevel(logging.WARNING)


class _UtcFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - overrides
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs an installed module with this interpreter.

    A module of the same name in the working directory, such as `flows`, does not hide it.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


@dataclass
class Child:
    """A child process: started, restarted with back-off when it exits, stopped within a deadline.

    Its standard input is a pipe of ours, so that stop_with_parent() notices our end even when we are killed.
    `environment` is added to ours; None removes a variable. Output is appended to `log`, or is ours where it is None.
    `niceness` is its nice value, 0 to 19. `terminal_exit` says that an exit status above 0
    means that it cannot run until a person changes something, `once` that it is never restarted. `restarts` counts
    those since it last ran for HEALTHY_SECONDS.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    log: Path | None = None
    terminal_exit: bool = False
    once: bool = False
    niceness: int = 0
    restarts: int = 0
    ending: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _start_at: float | None = None

    def start(self) -> None:
        self._started_at, self._start_at = clock.monotonic(), None
        environment = {**os.environ, **self.environment, STOP_WITH_STDIN: "1"}
        with _open_log(self.log) if self.log else contextlib.nullcontext() as log:
            self._process = subprocess.Popen(
                self.command,
                env={name: value for name, value in environment.items() if value is not None},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                start_new_session=True,  # a Ctrl-C in the terminal reaches us alone; we pass it on
            )
        if self.niceness:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                inherited = os.getpriority(os.PRIO_PROCESS, self._process.pid)
                os.setpriority(os.PRIO_PROCESS, self._process.pid, max(inherited, self.niceness))  # less is for root

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Its exit status; None while it runs, and before it was started."""
        return self._process.poll() if self._process else None

    @property
    def failed(self) -> bool:
        """Whether it exited for good: it is not restarted."""
        status = self.exit_status
        return self.terminal_exit and status is not None and status > 0

    @property
    def note(self) -> str | None:
        """What a person should know: that it has stopped, or keeps exiting; None while it runs normally."""
        if self.once:
            status = self._process.poll() if self._process else None
            return None if self.terminal_exit or not status else f"{self.name} {self._ending(status)}"
        if self.failed:
            return f"{self.name} has stopped: {self.last_line}"
        if self._start_at is not None:
            return f"{self.name} {self.ending} and will be restarted (log: {self.log})"
        if self.restarts > 1 and clock.monotonic() - self._started_at < HEALTHY_SECONDS:
            return f"{self.name} {self.ending} and has been restarted {self.restarts} times in a row (log: {self.log})"
        return None

    def restart_if_ended(self) -> bool:
        """Restart it when it has exited, with back-off while it keeps exiting; return whether that happened now."""
        status = self.exit_status
        if status is None or self.failed or self.once:
            return False
        if self._start_at is None:
            self._start_at = clock.monotonic() + self._backoff_seconds()
            self.ending = self._ending(status)
        if clock.monotonic() < self._start_at:
            return False
        self.restarts += 1
        try:
            self.start()
        except OSError as error:  # such as a disk that is full: nothing to log to
            self.ending = f"could not be started ({error})"
            self._started_at = clock.monotonic()
            self._start_at = self._started_at + self._backoff_seconds()
            return False
        return True

    @property
    def keeps_ending(self) -> bool:
        """Whether it has ended several times in a row, or cannot run."""
        return self.failed or self.restarts >= KEEPS_ENDING_RESTARTS

    def _ending(self, status: int) -> str:
        if status > 0:
            return f"exited with status {status} ({self.last_line})"
        return f"was killed by signal {-status}" if status else "exited"

    def _backoff_seconds(self) -> float:
        if clock.monotonic() - self._started_at >= HEALTHY_SECONDS:
            self.restarts = 0
        return min(MAX_BACKOFF_SECONDS, 2 ** (self.restarts - 1)) if self.restarts else 0

    def terminate(self) -> None:
        if self._process and self.runs:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until it has exited and return its exit status; after so many seconds it is killed."""
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    @property
    def last_line(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log and self.log.exists() else []
        return lines[-1] if lines else "its log is empty"


def stop_all(children: Sequence[Child], seconds: float) -> None:
    """Terminate all children at the same time; those that are alive after so many seconds are killed."""
    deadline = clock.monotonic() + seconds
    for child in children:
        child.terminate()
    for child in children:
        child.wait(max(0.0, deadline - clock.monotonic()))


def _open_log(path: Path) -> IO[bytes]:
    """Open a log to append to; one that has grown too large is renamed to .log.1 first."""
    private_directory(path.parent)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return open(path, "ab", opener=open_private)
