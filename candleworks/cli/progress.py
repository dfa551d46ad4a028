"""Progress of a command that takes more than two seconds: a bar on a terminal, otherwise plain lines."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from candleworks import clock
from candleworks.cli.console import lasting_console

QUIET_SECONDS = 2.0


class ProgressDisplay:
    """Shows how far the current subject is, such as a file, on standard error; a context manager.

    `unit` is the plural of what is counted. Plain lines come every `line_seconds`.
    """

    def __init__(self, unit: str, *, line_seconds: float = 2.0) -> None:
        self._unit, self._line_seconds = unit, line_seconds
        self._console = lasting_console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._subject = ""
        self._started_at = self._next_line_at = 0.0
        self._count_at_start = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def show(self, subject: str, count: int, fraction: float, detail: str = "") -> None:
        """Show that `count` units of the subject are done, `fraction` (0 to 1) of all; `detail` is appended."""
        now = clock.monotonic()
        if subject != self._subject:
            self._subject, self._started_at, self._count_at_start = subject, now, count
            self._next_line_at = now + max(QUIET_SECONDS, self._line_seconds)
        seconds = now - self._started_at
        if seconds < QUIET_SECONDS:
            return
        rate = f"{(count - self._count_at_start) / seconds:,.0f} {self._unit}/s"
        if self._console.is_terminal:
            self._draw(fraction, ", ".join(filter(None, (rate, detail))))
        elif now >= self._next_line_at:
            self._next_line_at = now + self._line_seconds
            left = f"about {seconds * (1 - fraction) / max(fraction, 1e-9):,.0f} s left"
            parts = (f"{count:,} {self._unit}", rate, f"{fraction:.0%}", left, detail)
            self._console.print(Text(f"{subject}: {', '.join(filter(None, parts))}"), soft_wrap=True)

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
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._subject = None, ""
