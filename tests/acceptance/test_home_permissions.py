"""What other users of the machine can read of a home: nothing."""

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.platform import platform

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_to_others(home: Path) -> Iterator[str]:
    """Everything below the home that others may read, write or enter, except what lies in PostgreSQL's closed data."""
    for path in sorted(home.rglob("*")):
        if home / "postgres" not in path.parents and path.lstat().st_mode & OTHERS and not path.is_symlink():
            yield f"{stat.filemode(path.lstat().st_mode)} {path.relative_to(home)}"


@pytest.mark.parametrize("prefect", [False, True])
def test_a_new_home_is_closed_to_others(tmp_path: Path, prefect: bool) -> None:
    """Logs, spools, locks and Prefect's files; the server's own user, where there is one, may pass through the home."""
    with platform(tmp_path, prefect=prefect) as up:
        up.flows()
        up.stop(signal.SIGTERM)
    assert {"logs", "spool", "up.lock"} <= {path.name for path in up.home.iterdir()}
    assert [found for found in open_to_others(up.home) if "prefect/" not in found] == []
    assert not up.home.stat().st_mode & OTHERS & ~(stat.S_IXGRP | stat.S_IXOTH)


def test_an_earlier_home_is_closed_at_the_next_start(tmp_path: Path) -> None:
    """With the files that are in it; the home itself may be a directory that a person made and shares."""
    home = tmp_path / "home"
    spool, logs = home / "spool" / "twelvedata", home / "logs"
    for directory in (spool, logs):
        directory.mkdir(parents=True)
    for file in (logs / "ingest-old.log", logs / "old.log.1", home / "up.lock", spool / "lock"):
        file.write_text("")
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with platform(tmp_path) as up:
        up.flows()
        up.stop(signal.SIGTERM)
    assert list(open_to_others(home)) == []
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
