"""What an export is told, and what it tells."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

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
