"""Runs checks, keeps what they find, and hands it to the alerts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from candleworks import alerts, clock
from candleworks.candles.refresh import refresh
from candleworks.errors import TerminalError
from candleworks.model.notices import Notify, ignore
from candleworks.model.quality import QualityResult, Status
from candleworks.quality.limits import SAMPLE_ROWS, facts, limits, sampled, suite_limits
from candleworks.quality.registry import ALL, Check, chosen
from candleworks.quality.report import Report
from candleworks.quality.vendor import bars_due, vendor_bars
from candleworks.quality.window import Window, window
from candleworks.settings import Settings
from candleworks.storage.connection import Connection
from candleworks.storage.quality import (
    Objects,
    check_session,
    check_sql,
    checked_until,
    rendered,
    save_results,
    symbols_in_window,
    symbols_of_feeds,
    troubled_subjects,
)

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
) -> Report:
    """Run the checks of a suite (`ticks`, `candles`, `system`, or `all`), store the results, and update the alerts.

    It delivers nothing: whoever delivers sends the notifications.

    Without `since` each check looks at what came since its last run: the last hour at first, a day at most. With it,
    ticks are chosen by their time from `since` on, whenever they came. `until` is the moment that counts as now. A
    check that breaks is an `error` of its own and disturbs no other. TransientError when the database is away,
    TerminalError when no check can run for another reason, which opens an alert of its own.
    """
    began = clock.monotonic()
    checks = chosen(settings, suite)
    try:
        run = _run(settings, dsn, checks, since, until)
    except TerminalError as error:
        alerts.update(dsn, settings, [_whole(suite, "error", str(error))], notify)
        raise
    alerts.update(dsn, settings, [*map(_told, run.results), _whole(suite, "passed")], notify)
    return Report(run.results, run.idle, clock.monotonic() - began)


def _run(
    settings: Settings, dsn: str, checks: Iterable[Check], since: datetime | None, until: datetime | None
) -> "_Run":
    from candleworks.quality.expectations import expecting  # noqa: PLC0415 - takes seconds and 140 MB

    with check_session(dsn) as connection, expecting(dsn) as database:
        run = _Run(settings, connection, database, since, until or clock.now())
        for check in checks:
            run.judge(check)
        save_results(connection, run.results, {} if since else dict.fromkeys(run.looked, run.until))
    return run


def _whole(suite: str, status: Literal["passed", "error"], reason: str | None = None) -> alerts.Result:
    return alerts.Result(WHOLE_RUN, suite, "critical", status, reason, None, clock.now())


def _told(result: QualityResult) -> alerts.Result:
    return alerts.Result(
        result.check, result.subject, result.severity, result.status, result.observed, result.expected, result.at
    )


@dataclass
class _Run:
    """The checks of one run, one after the other."""

    settings: Settings
    connection: Connection
    database: "Database"
    since: datetime | None
    until: datetime
    results: list[QualityResult] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    _batches: dict[Window, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read_until = checked_until(self.connection)
        self._streamed = symbols_of_feeds(self.connection)
        self._troubled: dict[str, set[str]] = defaultdict(set)
        for check, subject in troubled_subjects(self.connection, self.until):
            self._troubled[check].add(subject)
        self._facts = facts(self.connection, self.settings) | suite_limits(self.settings)

    def judge(self, check: Check) -> None:
        """Evaluate a check and keep its results."""
        began = clock.monotonic()
        span = window(self.since, self._read_until.get(check.name), self.until)
        batch = self._batch(span)
        parameters = self._parameters(span, batch)
        if check.judges == "batch" and not batch:
            self.idle.append(check.name)
            self.looked.append(check.name)
            return
        if check.name == "vendor-bars":
            parameters["bars"] = self._bars(span, batch)
            if not parameters["bars"]:
                self.idle.append(check.name)
                return
        outcome = self._outcome(check, parameters)
        if check.settles and outcome.rows:
            refresh(self.connection)
            self._facts |= facts(self.connection, self.settings)
            outcome = self._outcome(check, self._parameters(span, batch))
        if outcome.error is None:
            self.looked.append(check.name)
        self._keep(check, span, _judged(check, parameters), outcome, clock.monotonic() - began)

    def _batch(self, span: Window) -> dict[str, int]:
        if span not in self._batches:
            self._batches[span] = symbols_in_window(self.connection, span.parameters)
        return self._batches[span]

    def _bars(self, span: Window, batch: Mapping[str, int]) -> Objects:
        if not bars_due(self.settings, span, self._read_until.get("vendor-bars")):
            return Objects()
        return vendor_bars(self.connection, self.settings, self._troubled["vendor-bars"] & set(batch) or batch, span)

    def _audited(self, batch: Mapping[str, int], span: Window) -> list[str]:
        """Choose symbols, and those that were found wrong lately besides: nobody else can say that they are well."""
        troubled = self._troubled["candle-audit"] & set(batch)
        count = self.settings.quality.candles.audited_symbols
        return sorted({*sampled(troubled, count, span.until), *sampled(batch, count, span.until)})

    def _parameters(self, span: Window, batch: Mapping[str, int]) -> dict[str, Any]:
        return {
            **span.parameters,
            **self._facts,
            "limits": limits({*batch, *self._streamed}, self.settings),
            "batch": batch,
            "symbols": sorted(batch),
            "streamed": self._streamed,
            "audited": self._audited(batch, span),
            "sample": SAMPLE_ROWS,
        }

    def _outcome(self, check: Check, parameters: dict[str, Any]) -> "Outcome":
        def render(name: str) -> str:
            return rendered(self.connection, check_sql(name), parameters)

        self.database.next_check()
        if check.native:
            from candleworks.quality.native import native_outcome  # noqa: PLC0415 - see run_checks

            return native_outcome(self.database, check.name, parameters, render)
        return self.database.rows(render(check.name))

    def _keep(self, check: Check, span: Window, judged: Mapping[str, int], outcome: "Outcome", seconds: float) -> None:
        def result(subject: str, status: Status, found: Mapping[str, Any]) -> QualityResult:
            return QualityResult(
                check=check.name,
                subject=subject,
                suite=check.suite,
                severity=check.severity,
                status=status,
                observed=found.get("observed"),
                expected=found.get("expected"),
                window_from=span.start,
                window_until=span.until,
                sample=found.get("sample"),
                seconds=seconds,
                at=clock.now(),
            )

        if outcome.error is not None:
            self.results.append(result(check.scope, "error", {"observed": outcome.error}))
            return
        failed = {row["subject"]: row for row in outcome.rows}
        self.results += [result(subject, "failed", row) for subject, row in failed.items()]
        recovered = [] if outcome.partial else self._recovered(check, judged, failed)
        self.results += [result(subject, "passed", {}) for subject in recovered]
        if not failed or check.scope in self._troubled[check.name] - {*failed, *recovered}:
            self.results.append(result(check.scope, "passed", {"observed": _looked_at(check, judged)}))

    def _recovered(self, check: Check, judged: Mapping[str, int], failed: Mapping[str, Any]) -> list[str]:
        """Name the subjects in trouble that were looked at and did not fail."""
        troubled = self._troubled[check.name] - set(failed) - {check.scope}
        return sorted(troubled if check.judges == "all" else troubled & set(judged))


def _judged(check: Check, parameters: Mapping[str, Any]) -> dict[str, int]:
    """Return the symbols of which a check looks at rows, and how many ticks of each are new."""
    batch: dict[str, int] = parameters["batch"]
    if check.name == "candle-audit":
        return {symbol: batch[symbol] for symbol in parameters["audited"]}
    if check.name == "vendor-bars":
        return {row["symbol"]: batch[row["symbol"]] for row in parameters["bars"]}
    return batch


def _looked_at(check: Check, judged: Mapping[str, int]) -> str | None:
    if check.judges == "all":
        return None
    return f"{sum(judged.values()):,} new ticks of {len(judged):,} symbols"
