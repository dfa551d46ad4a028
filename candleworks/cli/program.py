"""What the program says of itself: its name as the person typed it, and errors as one line."""

import contextlib
import os
import shlex
import shutil
import sys
import traceback
from pathlib import Path

DEBUG = "--debug"
LAUNCHERS = ("uv", "uvx")


def program_name() -> str:
    """Return what to type to start this program again, such as `.venv/bin/candleworks` or `uvx candleworks`."""
    script, arguments = sys.argv[0], sys.argv[1:]
    if launcher := _launcher(arguments):
        return launcher
    if Path(script).name == "__main__.py":
        return f"{shlex.quote(_shortened(sys.executable))} -m candleworks"
    found = shutil.which(Path(script).name)
    if found and Path(script).exists() and Path(found).samefile(script):
        return Path(script).name
    return shlex.quote(_shortened(script))


def _launcher(arguments: list[str]) -> str | None:
    """Return the command of `uvx` or `uv run` that started us, without our arguments: its environment is temporary."""
    if "UV" not in os.environ:
        return None
    import psutil  # noqa: PLC0415 - 20 ms, which most starts do not need

    try:
        parent = psutil.Process().parent()
        words = parent.cmdline() if parent else []
    except psutil.Error:
        return None
    if not words or Path(words[0]).name not in LAUNCHERS:
        return None
    if arguments and words[-len(arguments) :] == arguments:
        words = words[: -len(arguments)]
    # uvx starts `uv tool uvx` in its place.
    return shlex.join(["uvx", *words[3:]] if words[1:3] == ["tool", "uvx"] else [Path(words[0]).name, *words[1:]])


def _shortened(path: str) -> str:
    """Return a path below the current directory as a relative one."""
    where = Path(path)
    return str(where.relative_to(Path.cwd())) if where.is_relative_to(Path.cwd()) else path


def explain(error: BaseException, sentence: str | None = None) -> None:
    """Print an error as one line, or with its traceback after --debug."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        if DEBUG in sys.argv:
            traceback.print_exception(error)
        else:
            sys.stderr.write(f"{sentence or error}\n")
