"""What an import tells: while it runs, and afterwards."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from candleworks.errors import CandleworksError, TerminalError
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

    @property
    def failure(self) -> CandleworksError | None:
        """Why nothing of it could be used: the error, or that every line was rejected."""
        if self.result is None or not self.result.record.is_unusable:
            return self.error
        why = f" ({self.result.examples[0]})" if self.result.examples else ""
        return TerminalError(
            f"{self.path} has no line that can be used, {self.result.record.rejected:,} were rejected{why}:"
            " correct the file or the options."
        )

    def count(self, name: str) -> int:
        """Return how many rows were stored, duplicates or rejected; 0 for a file that was not read."""
        return 0 if self.result is None or self.result.known else int(getattr(self.result.record, name))
