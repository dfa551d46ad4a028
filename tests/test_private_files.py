"""Directories and files that only their user can read."""

import os
import stat
from pathlib import Path

from candleworks.private_files import create_private_directory, open_private, private_directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_missing_directories_are_private_and_others_stay(tmp_path: Path) -> None:
    """Whatever the umask allows."""
    tmp_path.chmod(0o755)
    create_private_directory(tmp_path / "a" / "b")
    assert [mode(each) for each in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [0o755, 0o700, 0o700]
    (tmp_path / "a").chmod(0o755)
    create_private_directory(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755


def test_a_directory_is_closed_with_its_files(tmp_path: Path) -> None:
    """Their user keeps his rights; directories in it and targets of links are not touched."""
    private, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    for path in (private / "inner", elsewhere):
        path.mkdir(parents=True)
        path.chmod(0o755)
    (private / "script").touch()
    (private / "script").chmod(0o775)
    (private / "gone").symlink_to(tmp_path / "nothing")
    (private / "link").symlink_to(elsewhere)
    private_directory(private)
    private_directory(private)
    assert [mode(each) for each in (private, private / "script", private / "inner", elsewhere)] == [
        0o700,
        0o700,
        0o755,
        0o755,
    ]


def test_a_file_is_private_when_it_is_made_and_when_it_exists(tmp_path: Path) -> None:
    """Its content stays."""
    umask = os.umask(0)
    try:
        for name in ("new", "old"):
            if name == "old":
                (tmp_path / name).write_text("kept ")
                (tmp_path / name).chmod(0o666)
            with open(tmp_path / name, "a", opener=open_private) as file:
                file.write("more")
            assert mode(tmp_path / name) == 0o600
    finally:
        os.umask(umask)
    assert (tmp_path / "old").read_text() == "kept more"


def test_a_directory_for_all_users_stays_open(tmp_path: Path) -> None:
    """With what others have in it: somebody may keep a home or a spool directly below /tmp."""
    shared, theirs = tmp_path / "shared", tmp_path / "shared" / "theirs"
    shared.mkdir()
    theirs.touch()
    theirs.chmod(0o644)
    shared.chmod(0o1777)
    private_directory(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o644
