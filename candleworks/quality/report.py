"""The results of a run of checks, and how they are summarised."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from candleworks.model.alerts import CheckResult
from candleworks.wording import counted

SHOWN_SUBJECTS = 3  # of each check, in a sentence


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a run as they were stored, and the checks that had no new rows to read."""

    results: Sequence[CheckResult]
    idle: Sequence[str]
    seconds: float

    @property
    def failed(self) -> list[CheckResult]:
        return [result for result in self.results if result.status == "failed"]

    @property
    def errors(self) -> list[CheckResult]:
        return [result for result in self.results if result.status == "error"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed and no check ended in an error."""
        return not self.failed and not self.errors

    @property
    def counts(self) -> str:
        """How many checks have which outcome, each counted once: `25 checks: 4 failed, 1 error, 20 passed`."""
        failed, errors = _subjects(self.failed), _subjects(self.errors)
        checks = {result.check for result in self.results}
        passed = len(checks - {*failed, *errors})
        parts = [(len(failed), "failed"), (len(set(errors) - set(failed)), "error"), (passed, "passed")]
        outcomes = ", ".join(f"{count} {status}" for count, status in parts if count)
        return f"{_checks(len(checks))}: {outcomes or 'nothing to check'}"

    @property
    def sentence(self) -> str:
        """Name what failed, in one line: `2 of 25 checks failed: price-jump (AAPL), candle-levels (BTC/USD, MSFT)`."""
        failed, errors = _subjects(self.failed), _subjects(self.errors)
        if self.passed:
            return self.counts
        count = len({result.check for result in self.results})
        parts = []
        if failed:
            parts.append(f"{len(failed)} of {_checks(count)} failed: {', '.join(map(_named, failed.items()))}")
        if errors:
            parts.append(f"{len(errors)} of {_checks(count)} ended in an error: {', '.join(errors)}")
        return "; ".join(parts)


def _checks(count: int) -> str:
    return counted(count, "check")


def _subjects(results: Iterable[CheckResult]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for result in results:
        found.setdefault(result.check, []).append(result.subject)
    return found


def _named(check: tuple[str, Sequence[str]]) -> str:
    name, subjects = check
    more = len(subjects) - SHOWN_SUBJECTS
    shown = ", ".join(subjects[:SHOWN_SUBJECTS])
    return f"{name} ({shown} and {more} more)" if more > 0 else f"{name} ({shown})"
