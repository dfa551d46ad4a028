"""What `up` looks like in a terminal."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from tests.acceptance.platform import PATIENCE_SECONDS, STOP_SECONDS, database_of, end, free_port, processes_of
from tests.cli.commands import candleworks, environment
from tests.feed.streaming import until

ROWS, COLUMNS = 24, 80
HEADINGS = ["feed", "ticks/s", "last", "tick", "lag", "p50", "lag", "p99", "queued"]
CONTROL_C = b"\x03"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal of 80x24 with a process in it; `text` is everything it has been sent."""

    def __init__(self, directory: Path, *arguments: str, **variables: object) -> None:
        settings = environment(TERM="xterm-256color", **variables)
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.chdir(directory)
            os.execve(sys.executable, [sys.executable, "-m", "candleworks", *arguments], settings)  # noqa: S606 - ours
        self.text = ""
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while not self._closed.is_set() and (part := os.read(self._file, 65_536)):
                self.text += part.decode(errors="replace")
        except OSError:
            return  # Linux says so when the last process has left the terminal

    def type(self, keys: bytes) -> None:
        os.write(self._file, keys)

    def wait(self) -> int:
        self._reader.join(PATIENCE_SECONDS)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._file)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> int:
        """Close it as its window is closed, and wait for the process."""
        self._closed.set()  # what is read belongs to nobody until the next renewal of the table
        self._reader.join(PATIENCE_SECONDS)
        os.close(self._file)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_terminal_shows_a_table_that_renews_itself(tmp_path: Path) -> None:
    """80 columns hold every line; Ctrl-C ends everything with status 0 and gives the cursor back."""
    home, port = tmp_path / "home", free_port()
    terminal = Terminal(tmp_path, "up", "--no-prefect", CANDLEWORKS_HOME=home, CANDLEWORKS_WEB_PORT=port)
    try:
        until(lambda: re.search(r"twelvedata +[\d.]+  [A-Z/]+ [\d.]+ at", terminal.text), PATIENCE_SECONDS)
        began = time.monotonic()
        terminal.type(CONTROL_C)
        assert terminal.wait() == 0
        assert time.monotonic() - began < STOP_SECONDS
        assert processes_of(home) == []
    finally:
        end(home)
    lines = [_ESCAPES.sub("", line) for line in re.split(r"[\r\n]+", terminal.text)]
    with_paths = ("Starting", "Applied", "Database", "            psql", "Logs")  # of any length
    table = [line for line in lines if not line.startswith(with_paths)]
    assert max(map(len, table)) <= COLUMNS
    assert "…" not in "".join(table)
    assert any(line.split() == HEADINGS for line in lines)
    assert any(
        re.match(r"\d+ ticks stored, 0 rejected; \d+ candles refreshed in the last minute", line) for line in lines
    )
    assert lines.count(f"Open http://127.0.0.1:{port}/") == 1
    assert terminal.text.count("\x1b[?25l") == terminal.text.count("\x1b[?25h") == 1


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_closed_terminal_ends_everything_in_order(tmp_path: Path) -> None:
    """As a person's stop, although nothing can be written any more; the next start works at once."""
    home, port = tmp_path / "home", free_port()
    variables = {"CANDLEWORKS_HOME": home, "CANDLEWORKS_WEB_PORT": port}
    terminal = Terminal(tmp_path, "up", "--no-prefect", **variables)
    try:
        until(lambda: re.search(r"twelvedata +[\d.]+  [A-Z/]+ [\d.]+ at", terminal.text), PATIENCE_SECONDS)
        assert terminal.close() == 0
        assert processes_of(home) == []
        with database_of(home) as connection:
            assert connection.execute("SELECT deliberate FROM feed_stops").fetchall() == [(True,)]
        assert candleworks("up", "--no-prefect", "--duration", "1", directory=tmp_path, **variables).status == 0
    finally:
        end(home)
