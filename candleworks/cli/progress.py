"""Progress of a command that takes more than two seconds: a bar on a terminal, otherwise plain lines."""

import threading
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from candleworks import clock
from candleworks.cli.console import lasting_console

QUIET_SECONDS = 2.0
REPEAT_SECONDS = 0.5


class ProgressDisplay:
    """Shows how far the current subject is, such as a file, on standard error; a context manager.

    `unit` is the plural of what is counted. Plain lines come every `line_seconds`, also while nothing new is shown.
    """

    def __init__(self, unit: str, *, line_seconds: float = 2.0) -> None:
        self._unit, self._line_seconds = unit, line_seconds
        self._console = lasting_console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._subject = ""
        self._started_at = self._next_line_at = 0.0
        self._count: int | None = None
        self._fraction, self._detail = 0.0, ""
        self._count_at_start = 0
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._repeating = threading.Thread(target=self._repeat, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._repeating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed.set()
        self._repeating.join()
        self.end()

    def show(self, subject: str, count: int | None, fraction: float, detail: str = "") -> None:
        """Show that `count` units of the subject are done, `fraction` (0 to 1) of all; `detail` is appended.

        None: what is done has no count.
        """
        with self._lock:
            now = clock.monotonic()
            if subject != self._subject:
                self._remove_bar()
                self._subject, self._started_at, self._count_at_start = subject, now, count or 0
                self._next_line_at = now + max(QUIET_SECONDS, self._line_seconds)
            self._count, self._fraction, self._detail = count, fraction, detail
            self._show(now)

    def _repeat(self) -> None:
        """Keep showing what was shown last: a step may take minutes."""
        while not self._closed.wait(REPEAT_SECONDS):
            with self._lock:
                if self._subject:
                    self._show(clock.monotonic())

    def _show(self, now: float) -> None:
        seconds = now - self._started_at
        if seconds < QUIET_SECONDS:
            return
        if self._console.is_terminal:
            self._draw(self._fraction, ", ".join(filter(None, (self._rate(seconds), self._detail))))
        elif now >= self._next_line_at:
            self._next_line_at = now + self._line_seconds
            self._console.print(Text(f"{self._subject}: {self._line(seconds)}"), soft_wrap=True)

    def _rate(self, seconds: float) -> str:
        return "" if self._count is None else f"{(self._count - self._count_at_start) / seconds:,.0f} {self._unit}/s"

    def _line(self, seconds: float) -> str:
        fraction = self._fraction
        count = "" if self._count is None else f"{self._count:,} {self._unit}"
        left = f"about {seconds * (1 - fraction) / fraction:,.0f} s left" if fraction else ""
        return ", ".join(filter(None, (count, self._rate(seconds), f"{fraction:.0%}", left, self._detail)))

    def _draw(self, fraction: float, text: str) -> None:
        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._subject, total=1.0, text=text)
        self._bar.update(self._task, completed=fraction, text=text)

    def end(self) -> None:
        """Remove the bar; the next subject gets its own."""
        with self._lock:
            self._remove_bar()
            self._subject = ""

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
