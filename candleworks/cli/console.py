"""What commands share: options, and output that survives a closed terminal."""

import io
import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TextIO, cast

import typer
from rich.console import Console

from candleworks.errors import CandleworksError
from candleworks.settings import Settings, load_settings
from candleworks.times import past_time, range_end

WIDE = 200

Duration = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop after this many seconds instead of on a signal.")
]
TIME_EXAMPLES = "such as 2026-11-20T14:30 (UTC) or 12h (ago)"
RangeStart = Annotated[
    datetime | None, typer.Option("--from", parser=past_time, metavar="TIME", help=f"Start, {TIME_EXAMPLES}.")
]
RangeEnd = Annotated[
    datetime | None,
    typer.Option("--to", parser=range_end, metavar="TIME", help="End, exclusive; a date includes its day."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def complete_feed(incomplete: str) -> list[str]:
    """Return the configured feeds for shell completion."""
    settings = _settings_if_valid()
    return [feed.name for feed in settings.feeds if feed.name.startswith(incomplete)] if settings else []


def complete_symbol(incomplete: str) -> list[str]:
    """Return the configured symbols for shell completion."""
    settings = _settings_if_valid()
    names = [name for feed in settings.feeds for name in feed.names] if settings else []
    return [name for name in names if name.startswith(incomplete)]


def _settings_if_valid() -> Settings | None:
    try:
        return load_settings()
    except CandleworksError:  # the command itself says what is wrong
        return None


def wide_console() -> Console:
    """Return standard output; 200 columns wide where it is no terminal, so that files and pipes get whole lines."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def report_to_stderr(line: str) -> None:
    """Print a line about what the command does besides its purpose, such as migrating a new database."""
    typer.echo(line, err=True)


def lasting_console(*, stderr: bool = False) -> Console:
    """Return an output for a command that keeps running, or stops in order, after its terminal or reader is gone."""
    return Console(file=cast("TextIO", _LastingOutput("stderr" if stderr else "stdout")))


class _LastingOutput(io.TextIOBase):
    """Discards text from the first write that fails on."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def _stream(self) -> TextIO:
        stream = getattr(sys, self._name)
        found: TextIO = getattr(stream, "rich_proxied_file", stream)  # a live table puts a proxy in its place
        return found

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError:  # EIO from a terminal, EPIPE from a pipe; the interpreter flushes once more at its end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
