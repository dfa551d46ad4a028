"""Runs checks, stores their results, and updates the alerts."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from candleworks import alerts, clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.errors import TerminalError
from candleworks.model.alerts import CheckResult, CheckStatus
from candleworks.model.notices import Notify, Progress, ignore, silent
from candleworks.quality.rechecks import recoveries
from candleworks.quality.registry import ALL, Check, select_checks
from candleworks.quality.report import Report
from candleworks.quality.selection import HISTORY, CheckInputs
from candleworks.quality.windows import CheckInput
from candleworks.settings import Settings
from candleworks.storage.quality import Objects, check_session, check_sql, rendered, save_results

if TYPE_CHECKING:
    from candleworks.quality.expectations import ExpectationOutcome, ExpectationSession

CHECK_RUN = "check-run"  # its alert says that no check of a suite could be run


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

    Results, up to where ticks were read, alerts and due notifications are stored in one transaction.
    Without `since` each check covers what arrived since its last run: the last hour at first, at most a day. With it,
    ticks are selected by their event time from `since` on, whenever they arrived. `until` is the time that counts as
    now. A check that cannot be run has the status `error` and does not affect the others. `progress` is called with the
    number of checks done, their total and the name of the next one, empty at the end. Notifications are not sent here.

    TransientError when the database is not available, TerminalError when no check can be run for another reason; that
    fires an alert of its own.
    """
    began = clock.monotonic()
    checks = select_checks(settings, suite)
    try:
        with check_session(dsn) as connection:
            run = _run(connection, settings, dsn, checks, since, until, progress)
            with connection.transaction():
                save_results(connection, run.results, {} if since else run.checked_until)
                events = alerts.apply_results(connection, settings, [*run.results, _suite_result(suite, "passed")])
        progress(len(checks), len(checks), "")
    except TerminalError as error:
        alerts.update(dsn, settings, [_suite_result(suite, "error", str(error))], notify)
        raise
    alerts.announce(events, notify)
    return Report(run.results, run.idle, clock.monotonic() - began)


def _run(
    connection: Connection,
    settings: Settings,
    dsn: str,
    checks: Sequence[Check],
    since: datetime | None,
    until: datetime | None,
    progress: Progress,
) -> "CheckRun":
    from candleworks.quality.expectations import expectation_session  # noqa: PLC0415 - takes seconds and 140 MB

    with expectation_session(dsn) as session:
        at = until or clock.now()
        run = CheckRun(connection, session, CheckInputs(connection, settings, since, at), at)
        for done, check in enumerate(checks):
            progress(done, len(checks), check.name)
            run.run_check(check)
    return run


def _suite_result(suite: str, status: CheckStatus, reason: str | None = None) -> CheckResult:
    return CheckResult(CHECK_RUN, suite, "critical", status, reason, None, clock.now())


@dataclass
class CheckRun:
    """The checks of one run, one after the other; `checked_until` is where the next run begins."""

    connection: Connection
    session: "ExpectationSession"
    inputs: CheckInputs
    until: datetime
    results: list[CheckResult] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    checked_until: dict[str, datetime] = field(default_factory=dict)

    def run_check(self, check: Check) -> None:
        """Run a check and keep its results."""
        began = clock.monotonic()
        covered = self.inputs.of(check)
        if covered is None:
            self.idle.append(check.name)
            if check.name != "vendor-bars":  # it asks once an hour, also when there were no bars
                self.checked_until[check.name] = self.until
            return
        outcome = self._outcome(check, covered.parameters)
        if check.refreshes and outcome.rows:
            refresh(self.connection)
            outcome = self._outcome(check, covered.parameters)
        self._advance(check, covered, outcome)
        self._add_results(check, covered, outcome, clock.monotonic() - began)

    def _advance(self, check: Check, covered: CheckInput, outcome: "ExpectationOutcome") -> None:
        """Let the next run begin here, unless the check could not be run or could not name all that failed."""
        if outcome.error is None and not outcome.partial:
            self.checked_until[check.name] = self.until
            if covered.day:
                self.checked_until[HISTORY.format(check.name)] = covered.day

    def _outcome(self, check: Check, parameters: Mapping[str, Any]) -> "ExpectationOutcome":
        def render(statement: str, **others: object) -> str:
            return rendered(self.connection, statement, {**parameters, **others})

        self.session.next_check()
        if check.native:
            from candleworks.quality.native import native_outcome  # noqa: PLC0415 - see _run

            return native_outcome(self.session, check.name, parameters, render)
        return self.session.rows(render(check_sql(check.name)))

    def _add_results(self, check: Check, covered: CheckInput, outcome: "ExpectationOutcome", seconds: float) -> None:
        def result(subject: str, status: CheckStatus, found: Mapping[str, Any]) -> CheckResult:
            return CheckResult(
                check.name,
                subject,
                check.severity,
                status,
                found.get("observed"),
                found.get("expected"),
                clock.now(),
                suite=check.suite,
                window_from=covered.window.start,
                window_until=covered.window.until,
                sample=found.get("sample"),
                seconds=seconds,
                failing=found.get("failing"),
            )

        if outcome.error is not None:
            self.results.append(result(check.scope, "error", {"observed": outcome.error}))
            return
        failed = {row["subject"]: row for row in outcome.rows}
        self.results += [result(subject, "failed", row) for subject, row in failed.items()]
        passed = {} if outcome.partial else self._passed(check, covered, failed)
        self.results += [result(subject, "passed", found) for subject, found in passed.items()]

    def _passed(self, check: Check, covered: CheckInput, failed: Container[str]) -> dict[str, dict[str, Any]]:
        """Return what passes: subjects that failed before and were covered, and the check itself if nothing fails."""
        failures = [failure for failure in self.inputs.recent_failures(check) if failure.subject not in failed]
        passed = recoveries(self.connection, check, covered, failures)
        values = self._values(check, covered) if failures and check.all_fail else {}
        passed = {subject: found | values.get(subject, {}) for subject, found in passed.items()}
        if not failed or check.scope in {failure.subject for failure in failures}:
            observed = None if check.covers in ("statistics", "all") else covered.describe()
            passed[check.scope] = values.get(check.scope, {"observed": observed})
        return passed

    def _values(self, check: Check, covered: CheckInput) -> dict[str, dict[str, Any]]:
        """Return the value of every subject, by thresholds at which all of them fail."""
        limits = Objects([{**row, **check.all_fail} for row in covered.parameters["limits"]])
        outcome = self._outcome(check, {**covered.parameters, **check.all_fail, "limits": limits})
        return {row["subject"]: {"observed": row["observed"]} for row in outcome.rows}
