"""The request, progress and result of an export."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from candleworks.errors import UsageError
from candleworks.storage.exports import ExportSelection, Extent


class Format(StrEnum):
    """The format of exported files."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"


@dataclass(frozen=True)
class Export:
    """What to write where: a file, or with `by_day` a directory that gets one file per day (UTC)."""

    selection: ExportSelection
    output: Path
    kind: Format
    zstd: bool = False
    by_day: bool = False
    overwrite: bool = False


class ExportProgress(NamedTuple):
    rows: int
    total: int


@dataclass(frozen=True)
class ExportResult:
    """The files written: without rows one empty file, or with `by_day` no file."""

    extent: Extent
    files: list[Path]
    size_bytes: int


def suffix(kind: Format, *, zstd: bool) -> str:
    """Return the suffix of a file's name, with its dot."""
    return ".csv.zst" if kind is Format.CSV and zstd else f".{kind}"


_SUFFIXES = {".parquet": Format.PARQUET, ".arrow": Format.ARROW, ".csv": Format.CSV, ".csv.zst": Format.CSV}


def wanted_export(
    selection: ExportSelection, output: Path, kind: Format | None, *, zstd: bool, by_day: bool, overwrite: bool
) -> Export:
    ending = next((ending for ending in _SUFFIXES if not by_day and output.name.lower().endswith(ending)), None)
    kind = kind or (_SUFFIXES[ending] if ending else Format.PARQUET)
    if zstd and kind is not Format.CSV:
        raise UsageError(f"--zstd is for CSV, {kind} files are always compressed: leave it out.")
    zstd = zstd or (kind is Format.CSV and ending == ".csv.zst")
    if ending and ending != suffix(kind, zstd=zstd):
        raise UsageError(
            f"The name {output} ends with {ending}, but the format is {kind}{' with --zstd' if zstd else ''}: use the"
            f" suffix {suffix(kind, zstd=zstd)}."
        )
    if by_day and output.is_file():
        raise UsageError(f"{output} is a file: name a directory for --partition-by day.")
    return Export(selection, output, kind, zstd=zstd, by_day=by_day, overwrite=overwrite)
