"""Where commands print."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import TextIO, cast

from rich.console import Console

DEBUG = "--debug"
WIDE = 200


def wide_console() -> Console:
    """Return standard output; what goes to a file or a pipe is not squeezed into the width of a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def explain(error: BaseException, sentence: str | None = None) -> None:
    """Print an error as one line, or with its traceback after --debug."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        if DEBUG in sys.argv:
            traceback.print_exception(error)
        else:
            sys.stderr.write(f"{sentence or error}\n")


def lasting_console() -> Console:
    """Return standard output for a command that goes on, or ends in order, after its terminal or reader is gone."""
    return Console(file=cast("TextIO", _LastingOutput()))


class _LastingOutput(io.TextIOBase):
    """Text that cannot be written is lost, and so is all that follows it."""

    @property
    def _stream(self) -> TextIO:
        stream: TextIO = getattr(sys.stdout, "rich_proxied_file", sys.stdout)  # a live table puts a proxy in its place
        return stream

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
