"""Where tables and errors are printed."""

import sys
import traceback

from rich.console import Console

DEBUG = "--debug"
WIDE = 200


def wide_console() -> Console:
    """Return standard output; what goes to a file or a pipe is not squeezed into the width of a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def explain(error: BaseException, sentence: str | None = None) -> None:
    """Print an error as one line, or with its traceback after --debug."""
    if DEBUG in sys.argv:
        traceback.print_exception(error)
    else:
        sys.stderr.write(f"{sentence or error}\n")
