"""Checks of this machine: disks, files and the embedded server."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from candleworks.doctor.findings import Finding, Patient, broken, note, warning
from candleworks.wording import size

MEGABYTE = 1_000_000
VOLATILE = ("tmpfs", "ramfs", "overlay")
SECRETS = ("grafana/admin-password", "prefect/profiles.toml")


def home(patient: Patient) -> Iterator[Finding]:
    place = _existing(patient.settings.home)
    if not os.access(place, os.W_OK | os.X_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        yield broken(
            f"{place} cannot be written to: nothing can be started with the home {patient.settings.home}.",
            "Correct its permissions, or set CANDLEWORKS_HOME to a directory of your own.",
        )


def disk(patient: Patient) -> Iterator[Finding]:
    place = _existing(patient.settings.home)
    free, needed = psutil.disk_usage(str(place)).free, patient.settings.quality.system.min_free_disk_mb * MEGABYTE
    if free < needed:
        yield warning(
            f"The disk of {place} has {size(free)} free, less than {size(needed)}.",
            "Free space, set storage.retention_days, or set CANDLEWORKS_HOME to a larger disk.",
        )


def spool(patient: Patient) -> Iterator[Finding]:
    place = _existing(patient.settings.home / "spool")
    kind = filesystem(place)
    if kind in VOLATILE:
        yield warning(
            f"The spool in {patient.settings.home / 'spool'} is on {kind}, which does not survive a restart of the"
            f" {'container' if kind == 'overlay' else 'machine'}: ticks that wait for the database would be lost.",
            "Set CANDLEWORKS_HOME to a directory on a disk, or mount a volume there.",
        )
    free = psutil.disk_usage(str(place)).free
    wanted = patient.settings.ingest.max_spool_bytes * len(patient.settings.feeds)
    if free < wanted:
        yield warning(
            f"The spool may grow to {size(wanted)}, and its disk has {size(free)} free: a long outage of the database"
            " would stop the feeds.",
            "Free space, or lower ingest.max_spool_bytes in candleworks.yaml.",
        )


def filesystem(path: Path) -> str:
    """Return the type of the file system that holds an existing path; empty where the system does not say."""
    real, found = str(path.resolve()), ("", "")
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint
        if (real == mount or real.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(found[0]):
            found = (mount, partition.fstype)
    return found[1]


def permissions(patient: Patient) -> Iterator[Finding]:
    top = patient.settings.home
    for path in (*(top / name for name in SECRETS), Path(".env").resolve()):
        if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            yield warning(f"{path} can be read by other users, and it may hold a password.", f"Run chmod 600 {path}")
    if top.is_dir() and top.stat().st_mode & stat.S_IWOTH:
        yield warning(f"{top} can be written by every user of this machine.", f"Run chmod o-w {top}")


def embedded(patient: Patient) -> Iterator[Finding]:
    if patient.embedded:
        user = " as root" if os.geteuid() == 0 else ""
        yield note(
            f"The database is the embedded one in {patient.settings.home}{user}: it runs only while candleworks does.",
            "Set CANDLEWORKS_DSN to a server that is backed up and monitored; docs/how-to/move-to-timescaledb.md moves"
            " the data.",
        )


def _existing(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())
