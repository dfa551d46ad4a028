"""Runs checks, keeps what they find, and hands it to the alerts."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from candleworks import alerts, clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.errors import TerminalError
from candleworks.model.notices import Notify, Progress, ignore, silent
from candleworks.model.quality import QualityResult, Status
from candleworks.quality.recoveries import recoveries
from candleworks.quality.registry import ALL, Check, chosen
from candleworks.quality.report import Report
from candleworks.quality.selection import HISTORY, Look, Looks
from candleworks.settings import Settings
from candleworks.storage.quality import Objects, check_session, check_sql, rendered, save_results

if TYPE_CHECKING:
    from candleworks.quality.expectations import Database, Outcome

WHOLE_RUN = "check-run"  # its alert says that no check of a suite could run


def run_checks(
    settings: Settings,
    dsn: str,
    suite: str = ALL,
    since: datetime | None = None,
    notify: Notify = ignore,
    until: datetime | None = None,
    progress: Progress = silent,
) -> Report:
    """Run the checks of a suite (`ticks`, `candles`, `system`, or `all`), store the results, and update the alerts.

    It delivers nothing: whoever delivers sends the notifications.

    Without `since` each check looks at what came since its last run: the last hour at first, a day at most. With it,
    ticks are chosen by their time from `since` on, whenever they came. `until` is the moment that counts as now. A
    check that breaks is an `error` of its own and disturbs no other. `progress` takes how many checks are done, how
    many there are, and the next one's name, at last an empty one. TransientError when the database is away,
    TerminalError when no check can run for another reason, which opens an alert of its own.
    """
    began = clock.monotonic()
    checks = chosen(settings, suite)
    try:
        run = _run(settings, dsn, checks, since, until, progress)
    except TerminalError as error:
        alerts.update(dsn, settings, [_whole(suite, "error", str(error))], notify)
        raise
    alerts.update(dsn, settings, [*map(_told, run.results), _whole(suite, "passed")], notify)
    return Report(run.results, run.idle, clock.monotonic() - began)


def _run(
    settings: Settings,
    dsn: str,
    checks: Sequence[Check],
    since: datetime | None,
    until: datetime | None,
    progress: Progress,
) -> "_Run":
    from candleworks.quality.expectations import expecting  # noqa: PLC0415 - takes seconds and 140 MB

    with check_session(dsn) as connection, expecting(dsn) as database:
        moment = until or clock.now()
        run = _Run(connection, database, Looks(connection, settings, since, moment), moment)
        for done, check in enumerate(checks):
            progress(done, len(checks), check.name)
            run.judge(check)
        save_results(connection, run.results, {} if since else run.reached)
    progress(len(checks), len(checks), "")
    return run


def _whole(suite: str, status: Literal["passed", "error"], reason: str | None = None) -> alerts.Result:
    return alerts.Result(WHOLE_RUN, suite, "critical", status, reason, None, clock.now())


def _told(result: QualityResult) -> alerts.Result:
    return alerts.Result(
        result.check, result.subject, result.severity, result.status, result.observed, result.expected, result.at
    )


@dataclass
class _Run:
    """The checks of one run, one after the other; `reached` is what the next runs begin from."""

    connection: Connection
    database: "Database"
    looks: Looks
    until: datetime
    results: list[QualityResult] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    reached: dict[str, datetime] = field(default_factory=dict)

    def judge(self, check: Check) -> None:
        """Evaluate a check and keep its results."""
        began = clock.monotonic()
        look = self.looks.at(check)
        if look is None:
            self.idle.append(check.name)
            if check.name != "vendor-bars":  # it asks once an hour, also when that brought nothing
                self.reached[check.name] = self.until
            return
        outcome = self._outcome(check, look.parameters)
        if check.settles and outcome.rows:
            refresh(self.connection)
            outcome = self._outcome(check, look.parameters)
        self._note_reached(check, look, outcome)
        self._keep(check, look, outcome, clock.monotonic() - began)

    def _note_reached(self, check: Check, look: Look, outcome: "Outcome") -> None:
        """Let the next run begin where this one ended, unless it could not look or could not name all that failed."""
        if outcome.error is None and not outcome.partial:
            self.reached[check.name] = self.until
            if look.day:
                self.reached[HISTORY.format(check.name)] = look.day

    def _outcome(self, check: Check, parameters: Mapping[str, Any]) -> "Outcome":
        def render(statement: str, **others: object) -> str:
            return rendered(self.connection, statement, {**parameters, **others})

        self.database.next_check()
        if check.native:
            from candleworks.quality.native import native_outcome  # noqa: PLC0415 - see run_checks

            return native_outcome(self.database, check.name, parameters, render)
        return self.database.rows(render(check_sql(check.name)))

    def _keep(self, check: Check, look: Look, outcome: "Outcome", seconds: float) -> None:
        def result(subject: str, status: Status, found: Mapping[str, Any]) -> QualityResult:
            return QualityResult(
                check=check.name,
                subject=subject,
                suite=check.suite,
                severity=check.severity,
                status=status,
                observed=found.get("observed"),
                expected=found.get("expected"),
                window_from=look.span.start,
                window_until=look.span.until,
                sample=found.get("sample"),
                seconds=seconds,
                at=clock.now(),
                failing=found.get("failing"),
            )

        if outcome.error is not None:
            self.results.append(result(check.scope, "error", {"observed": outcome.error}))
            return
        failed = {row["subject"]: row for row in outcome.rows}
        self.results += [result(subject, "failed", row) for subject, row in failed.items()]
        passed = {} if outcome.partial else self._passed(check, look, failed)
        self.results += [result(subject, "passed", found) for subject, found in passed.items()]

    def _passed(self, check: Check, look: Look, failed: Container[str]) -> dict[str, dict[str, Any]]:
        """Say what passes: subjects in trouble that were looked at, and the check as a whole when nothing fails."""
        troubles = [trouble for trouble in self.looks.troubles(check) if trouble.subject not in failed]
        passed = recoveries(self.connection, check, look, troubles)
        values = self._values(check, look) if troubles and check.of_all else {}
        passed = {subject: found | values.get(subject, {}) for subject, found in passed.items()}
        if not failed or check.scope in {trouble.subject for trouble in troubles}:
            whole = None if check.judges in ("statistics", "all") else look.describe()
            passed[check.scope] = values.get(check.scope, {"observed": whole})
        return passed

    def _values(self, check: Check, look: Look) -> dict[str, dict[str, Any]]:
        """Return what a check says of every subject when none can pass; nothing where that cannot be told."""
        limits = Objects([{**row, **check.of_all} for row in look.parameters["limits"]])
        outcome = self._outcome(check, {**look.parameters, **check.of_all, "limits": limits})
        return {row["subject"]: {"observed": row["observed"]} for row in outcome.rows}
