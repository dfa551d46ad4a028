"""Directories and files of the home, which other users cannot read: logs and spools have ticks and addresses."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def create_private_directory(path: Path) -> None:
    """Create a directory, and those above it that are missing; one that exists is left as it is."""
    for each in (*reversed(path.parents), path):
        if not each.is_dir():
            each.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def private_directory(path: Path) -> None:
    """Create a directory, or close one that exists to other users, with the files in it; links are not followed.

    A directory that is made for all users, such as /tmp, is left as it is.
    """
    create_private_directory(path)
    if path.stat().st_mode & stat.S_ISVTX:
        return
    for each in (path, *path.iterdir()):
        if each == path or not each.is_dir():
            _close_to_others(each)


def open_private(path: str, flags: int) -> int:
    """The `opener` of open() for a file that only its user can read, also where it exists."""
    descriptor = os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)
    found = os.fstat(descriptor).st_mode
    if found & _OTHERS:
        with contextlib.suppress(PermissionError):  # another user's
            os.fchmod(descriptor, stat.S_IMODE(found) & ~_OTHERS)
    return descriptor


def replace_private(path: Path, content: bytes) -> None:
    """Write a file as a whole, in a directory that is created if need be; whoever reads it sees the old or the new."""
    create_private_directory(path.parent)
    new = path.with_suffix(".new")
    with open(new, "wb", opener=open_private) as file:
        file.write(content)
    new.replace(path)


def _close_to_others(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):  # it was removed meanwhile, or is another user's
        found = path.lstat().st_mode
        if found & _OTHERS and not stat.S_ISLNK(found):
            path.chmod(stat.S_IMODE(found) & ~_OTHERS)
