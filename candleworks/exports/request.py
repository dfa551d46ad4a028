"""What an export is told, and what it tells."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from candleworks.errors import UsageError
from candleworks.storage.export import Extent, Selection


class Format(StrEnum):
    """How exported rows are written."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"


@dataclass(frozen=True)
class Export:
    """What to write where: a file, or with `by_day` a directory that gets one file per day (UTC)."""

    selection: Selection
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
    """What was written; without rows one empty file, or no file per day."""

    extent: Extent
    files: list[Path]
    size_bytes: int


def suffix(kind: Format, *, zstd: bool) -> str:
    """Return the end of a file's name, with its dot."""
    return ".csv.zst" if kind is Format.CSV and zstd else f".{kind}"


_SUFFIXES = {".parquet": Format.PARQUET, ".arrow": Format.ARROW, ".csv": Format.CSV, ".csv.zst": Format.CSV}


def wanted_export(
    selection: Selection, output: Path, kind: Format | None, *, zstd: bool, by_day: bool, overwrite: bool
) -> Export:
    ending = next((ending for ending in _SUFFIXES if not by_day and output.name.lower().endswith(ending)), None)
    kind = kind or (_SUFFIXES[ending] if ending else Format.PARQUET)
    if zstd and kind is not Format.CSV:
        raise UsageError(f"--zstd is for CSV, {kind} files are compressed always: leave it out.")
    zstd = zstd or (kind is Format.CSV and ending == ".csv.zst")
    if ending and ending != suffix(kind, zstd=zstd):
        raise UsageError(
            f"The name {output} ends with {ending}, but {kind}{' with --zstd' if zstd else ''} was asked for: let it"
            f" end with {suffix(kind, zstd=zstd)}."
        )
    if by_day and output.is_file():
        raise UsageError(f"{output} is a file: name a directory for --partition-by day.")
    return Export(selection, output, kind, zstd=zstd, by_day=by_day, overwrite=overwrite)
