"""How errors are printed: as one line, or with a traceback after --debug."""

import contextlib
import sys
import traceback

DEBUG = "--debug"


def explain(error: BaseException, sentence: str | None = None) -> None:
    """Print an error as one line, or with its traceback after --debug."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        if DEBUG in sys.argv:
            traceback.print_exception(error)
        else:
            sys.stderr.write(f"{sentence or error}\n")
