"""What a run of checks found."""

from collections.abc import Sequence
from dataclasses import dataclass

from candleworks.model.quality import QualityResult


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run as they were stored, and the checks that had nothing to look at."""

    results: Sequence[QualityResult]
    idle: Sequence[str]
    seconds: float

    @property
    def failed(self) -> list[QualityResult]:
        return [result for result in self.results if result.status == "failed"]

    @property
    def broken(self) -> list[QualityResult]:
        return [result for result in self.results if result.status == "error"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed and no check broke."""
        return not self.failed and not self.broken
