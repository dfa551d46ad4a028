"""Labels and tags of runs, and whether the process that a label names is still alive."""

import os
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path

from candleworks.processes import find_process

STREAM_FLOW = "stream-ticks"
IN_WORKER_TAG = "in-worker"  # the worker itself executes runs of such a deployment, in a thread
DATABASE_LABEL = "candleworks.database"
PROCESS_LABEL = "candleworks.process"
BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")


def process_label(execution: int) -> dict[str, bool | int | float | str]:
    """Return the label of a run that this process executes for the `execution`-th time."""
    return {PROCESS_LABEL: f"{_place()} {os.getpid()} {execution}"}


def is_process_gone(labels: Mapping[str, object], execution: int) -> bool:
    """Whether the process of this execution ran on this machine and has ended; False when that is unknown."""
    place, _, numbers = str(labels.get(PROCESS_LABEL, "")).partition(" ")
    if place != _place():
        return False
    pid, labelled = map(int, numbers.split())
    return labelled == execution and find_process(pid) is None


def _place() -> str:
    """Return where process numbers mean the same: this boot of this machine, and on Linux this container."""
    if BOOT.exists():
        return f"{BOOT.read_text().strip()}/{NAMESPACE.readlink()}"
    return f"{platform.node()}/{uuid.getnode()}".replace(" ", "-")
