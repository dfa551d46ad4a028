"""The progress of an import, its counts, and its result."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from candleworks.errors import CandleworksError, TerminalError
from candleworks.model.notices import Progress
from candleworks.model.trades import Rejection, moment_of
from candleworks.storage.imports import ImportRecord

SHOWN_EXAMPLES = 5


REMOVAL, CANDLES = "removing ticks", "computing candles"


class FileProgress(NamedTuple):
    """How far the import of one file is.

    `fraction` is the share of its bytes while `stage` is empty, afterwards that of the stage, REMOVAL or CANDLES.
    """

    name: str
    rows: int
    fraction: float
    stage: str = ""


OnProgress = Callable[[FileProgress], None]


def ignore_progress(progress: FileProgress) -> None:
    """Discard progress."""


def candle_progress(name: str, rows: int, report: OnProgress) -> Progress:
    """Return what reports the progress of a refresh as the last stage of a file, whose start it reports at once."""
    report(FileProgress(name, rows, 0.0, CANDLES))
    return lambda done, steps, _: report(FileProgress(name, rows, done / steps if steps else 1.0, CANDLES))


@dataclass
class Tally:
    """Counts of a file's rows so far."""

    path: str
    sha256: str
    imported_at: datetime
    options: Mapping[str, Any]
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    first_us: int | None = None
    last_us: int | None = None
    ambiguous: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.stored + self.duplicates + self.rejected

    def add(self, stored: int, duplicates: int, rejections: Sequence[Rejection]) -> None:
        self.stored += stored
        self.duplicates += duplicates
        self.rejected += len(rejections)
        self.examples += [rejection.reason for rejection in rejections[: SHOWN_EXAMPLES - len(self.examples)]]

    def reach(self, *bounds: object) -> None:
        """Widen the bounds to these event times; null where a column has none."""
        for us in bounds:
            if isinstance(us, int):
                self.first_us = us if self.first_us is None else min(self.first_us, us)
                self.last_us = us if self.last_us is None else max(self.last_us, us)

    def at_start(self) -> "Tally":
        """Return the tally of the same import before its first row."""
        return Tally(self.path, self.sha256, self.imported_at, self.options)

    def resume(self, record: ImportRecord, state: Mapping[str, Any]) -> None:
        """Resume an interrupted import."""
        self.stored, self.duplicates, self.rejected = record.stored, record.duplicates, record.rejected
        self.first_us, self.last_us = state["first_us"], state["last_us"]
        self.ambiguous, self.examples = state["ambiguous"], state["examples"]

    def record(self, status: str) -> ImportRecord:
        first, last = (None if us is None else moment_of(us) for us in (self.first_us, self.last_us))
        return ImportRecord(
            path=self.path,
            sha256=self.sha256,
            rows=self.rows,
            stored=self.stored,
            duplicates=self.duplicates,
            rejected=self.rejected,
            first=first,
            last=last,
            status=status,
            imported_at=self.imported_at,
            options=self.options,
        )


@dataclass(frozen=True)
class ImportResult:
    """The result for one file.

    `known`: it was imported before. `examples` are the first reasons for rejections, `ambiguous` counts ambiguous local
    times, `candles` counts changed candles per level. `bars` is the length of bars, such as 5m, empty for ticks.
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
    """The result for a path, an archive's member or a directory's file, or the error."""

    path: str
    result: ImportResult | None = None
    error: CandleworksError | None = None

    @property
    def failure(self) -> CandleworksError | None:
        """Why nothing was imported: the error, or that every line was rejected."""
        if self.result is None or not self.result.record.is_unusable:
            return self.error
        why = f" ({self.result.examples[0]})" if self.result.examples else ""
        return TerminalError(
            f"{self.path} has no valid line, {self.result.record.rejected:,} were rejected{why}:"
            " correct the file or the options."
        )

    def count(self, name: str) -> int:
        """Return a count of rows: stored, duplicates or rejected; 0 for a file that was not read."""
        return 0 if self.result is None or self.result.known else int(getattr(self.result.record, name))
