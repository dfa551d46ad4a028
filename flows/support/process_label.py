"""Which process executes a run: a worker of the same machine then knows at once when it is gone."""

import os
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path

import psutil

from flows.support.names import PROCESS_LABEL

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")


def process_label(execution: int) -> dict[str, bool | int | float | str]:
    """Return the label for a run that this process executes for the `execution`-th time."""
    return {PROCESS_LABEL: f"{_place()} {os.getpid()} {execution}"}


def has_vanished(labels: Mapping[str, object], execution: int) -> bool:
    """Whether the process of this execution was one of this machine and is no more; False when that is not known."""
    place, _, numbers = str(labels.get(PROCESS_LABEL, "")).partition(" ")
    if place != _place():
        return False
    pid, labelled = map(int, numbers.split())
    return labelled == execution and not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _place() -> str:
    """Name where process numbers mean the same: this start of this machine, and on Linux this container."""
    if BOOT.exists():
        return f"{BOOT.read_text().strip()}/{NAMESPACE.readlink()}"
    return f"{platform.node()}/{uuid.getnode()}".replace(" ", "-")
