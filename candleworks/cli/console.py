"""Where tables are printed."""

from rich.console import Console

WIDE = 200


def wide_console() -> Console:
    """Return standard output; what goes to a file or a pipe is not squeezed into the width of a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)
