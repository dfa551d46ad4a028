"""Runs `candleworks` as people do: as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

PATIENCE_SECONDS = 60


class Ended(NamedTuple):
    status: int
    output: str
    errors: str


def environment(**variables: object) -> dict[str, str]:
    """This process's environment without what would configure candleworks, and with `variables`."""
    mine = ("CANDLEWORKS_", "TWELVEDATA_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    return plain | {name: str(value) for name, value in variables.items()}


def candleworks(*arguments: str, directory: Path, **variables: object) -> Ended:
    """Run a command in `directory` to its end; without other settings its home is in there too."""
    settings = {"CANDLEWORKS_HOME": directory / "home"} | variables
    done = subprocess.run(
        [sys.executable, "-m", "candleworks", *arguments],
        cwd=directory,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(
    *arguments: str, directory: Path, user: str | None = None, **variables: object
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs for the length of a `with` block, killed with all its children if it is still there.

    Only root may start it as another user.
    """
    settings = {"CANDLEWORKS_HOME": directory / "home"} | variables
    process = subprocess.Popen(
        [sys.executable, "-m", "candleworks", *arguments],
        cwd=directory,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                child.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = PATIENCE_SECONDS) -> Ended:
    """Wait for the end of a started command."""
    output, errors = process.communicate(timeout=seconds)
    return Ended(process.returncode, output, errors)
