"""The watchdog: evaluates liveness and delivers notifications, without Prefect and without Great Expectations."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from candleworks import clock
from candleworks.alerts.alertmanager import Alertmanager
from candleworks.alerts.database_alert import DatabaseAlert
from candleworks.alerts.delivery import deliver
from candleworks.alerts.evaluation import update
from candleworks.alerts.liveness import liveness_results
from candleworks.alerts.parts import parts_results
from candleworks.alerts.routing import WATCH, conflict, deliverer_name, without_address
from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, database_errors
from candleworks.database.migrations import migrate
from candleworks.errors import CandleworksError, TerminalError, TransientError
from candleworks.model.alerts import CheckResult
from candleworks.settings import Settings
from candleworks.storage.deliveries import Deliverer, deliverer_stopped, list_deliverers
from candleworks.storage.liveness import watch_connection

APPLICATION = "alerts watch"
ROUNDS_MISSED = 3  # before a watchdog is considered stopped
SLOW_ROUND_SECONDS = 60

log = logging.getLogger(__name__)


class Watchdog:
    """Watches the configured feeds, the scheduled checks and the database; call `run_once` every few seconds."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self._since = clock.now()
        self._database_alert = DatabaseAlert(settings)
        self._alertmanager = Alertmanager(settings)
        self._migrated = False
        self._last_warning = ""
        self._conflict: str | None = None
        self._runs_for = timedelta(seconds=ROUNDS_MISSED * settings.alerts.watch.interval_seconds + SLOW_ROUND_SECONDS)

    def run_once(self) -> None:
        """Evaluate once, and deliver what is due. No error of the database, a recipient or the disk is raised."""
        try:
            self._evaluate(clock.now())
            deliver(self._settings, self._dsn, self._runs_for)
            self._last_warning = ""
        except TransientError as error:
            self.database_failed(str(error))
        except TerminalError as error:
            self._warn_once(str(error))

    def database_failed(self, reason: str) -> None:
        """Notify people that the database is not available, once that has lasted long enough."""
        self._warn_once(reason)
        self._database_alert.failed(reason, clock.now())
        self._alertmanager.send(self._database_alert.firing, clock.now())

    def stop(self) -> None:
        """Register that this process no longer delivers."""
        with suppress(CandleworksError), watch_connection(self._dsn, APPLICATION) as connection:
            deliverer_stopped(connection, deliverer_name(self._settings, WATCH))

    def _warn_once(self, sentence: str) -> None:
        """Log a warning, but not again while it stays the same."""
        if sentence != self._last_warning:
            log.warning("%s", sentence)
        self._last_warning = sentence

    def _evaluate(self, at: datetime) -> None:
        if not self._migrated:
            self._migrate()
        with watch_connection(self._dsn, APPLICATION) as connection:
            results = [self._database_alert.recovered(connection, at), *self._results(connection, at)]
            changes = update(connection, self._settings, results)
            self._compare_recipients(list_deliverers(connection))
            self._alertmanager.send_stored(connection, at)
        for alert in changes.opened:
            log.warning("Alert firing: %s of %s (%s).", alert.check, alert.subject, alert.observed)
        for alert in changes.resolved:
            log.info("Alert resolved: %s of %s.", alert.check, alert.subject)

    def _compare_recipients(self, deliverers: list[Deliverer]) -> None:
        """Warn once when another installation has other recipients."""
        found = conflict(deliverers) or without_address(deliverers, self._settings)
        if found and found != self._conflict:
            log.warning("%s", found)
        self._conflict = found

    def _results(self, connection: Connection, at: datetime) -> list[CheckResult]:
        """Return the results about feeds and checks; where these cannot be read, that is a result of its own."""
        try:
            found = liveness_results(connection, self._settings, self._since, at)
        except TerminalError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it
            return [CheckResult("watch", "feeds", "critical", "error", str(error), None, at)]
        found += parts_results(self._settings, at)
        return [*found, CheckResult("watch", "feeds", "critical", "passed", None, None, at)]

    def _migrate(self) -> None:
        """Create the tables where the database was not available at the start."""
        try:
            with database_errors(self._dsn):
                migrate(self._dsn, self._settings)
            with watch_connection(self._dsn, APPLICATION) as connection:
                sync_calendars(connection, self._settings)
        except TransientError:
            raise
        except CandleworksError as error:
            log.warning("%s", error)
        self._migrated = True
