"""What an import tells: while it runs, and afterwards."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from candleworks.errors import CandleworksError
from candleworks.storage.imports import ImportRecord


class Progress(NamedTuple):
    """How far the import of one file came; `fraction` is that of its bytes."""

    name: str
    rows: int
    fraction: float


Tell = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Take what nobody looks at."""


@dataclass(frozen=True)
class ImportResult:
    """What became of a file.

    `known` tells that it was imported before. `examples` are the first reasons for rejections, `ambiguous` counts times
    of an hour that the clock told twice, `candles` counts changed candles per level. `bars` is the
    length of bars, such as 5m, and empty where ticks were read.
    """

    record: ImportRecord
    known: bool = False
    examples: tuple[str, ...] = ()
    candles: Counter[str] = field(default_factory=Counter)
    format: str = ""
    ambiguous: int = 0
    resumed: bool = False
    bars: str = ""


@dataclass(frozen=True)
class FileReport:
    """What became of a path, an archive's member or a directory's file: a result, or the reason why there is none."""

    path: str
    result: ImportResult | None = None
    error: CandleworksError | None = None
