"""The watchdog's round: look, report, deliver. It needs neither the orchestrator nor the check library."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from candleworks import clock
from candleworks.alerts.database_alert import Unrecorded
from candleworks.alerts.delivery import deliver
from candleworks.alerts.evaluation import update
from candleworks.alerts.routing import WATCH, conflict, deliverer_name, without_address
from candleworks.alerts.watchdog import look
from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection
from candleworks.database.migrations import migrate
from candleworks.errors import CandleworksError, TerminalError, TransientError
from candleworks.model.alerts import Result
from candleworks.settings import Settings
from candleworks.storage.deliverers import Deliverer, deliverer_stopped, list_deliverers
from candleworks.storage.liveness import impatient

APPLICATION = "alerts watch"
ROUNDS_MISSED = 3  # until a watch counts as one that does not run
SLOW_ROUND_SECONDS = 60

log = logging.getLogger(__name__)


class Watch:
    """Watches the configured feeds and the database; one round every few seconds."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self._since = clock.now()
        self._unrecorded = Unrecorded(settings)
        self._migrated = False
        self._said = ""
        self._conflict: str | None = None
        self._runs_for = timedelta(seconds=ROUNDS_MISSED * settings.alerts.watch.interval_seconds + SLOW_ROUND_SECONDS)

    def round(self) -> None:
        """Look once, and deliver what is due. Nothing that is wrong out there ends it."""
        try:
            self._report(clock.now())
            deliver(self._settings, self._dsn, self._runs_for)
            self._said = ""
        except TransientError as error:
            self._say(str(error))
            self._unrecorded.away(str(error), clock.now())
        except TerminalError as error:
            self._say(str(error))

    def stop(self) -> None:
        """Let others know that it does not run any more."""
        with suppress(CandleworksError), impatient(self._dsn, APPLICATION) as connection:
            deliverer_stopped(connection, deliverer_name(self._settings, WATCH))

    def _say(self, sentence: str) -> None:
        """Log a sentence, once while nothing changes."""
        if sentence != self._said:
            log.warning("%s", sentence)
        self._said = sentence

    def _report(self, moment: datetime) -> None:
        if not self._migrated:
            self._migrate()
        with impatient(self._dsn, APPLICATION) as connection:
            results = [self._unrecorded.back(connection, moment), *self._look(connection, moment)]
            changed = update(connection, self._settings, results)
            self._compare(list_deliverers(connection))
        for alert in changed.opened:
            log.warning("Alert firing: %s of %s (%s).", alert.check, alert.subject, alert.observed)
        for alert in changed.resolved:
            log.info("Alert resolved: %s of %s.", alert.check, alert.subject)

    def _compare(self, deliverers: list[Deliverer]) -> None:
        """Say once that another installation has other recipients."""
        found = conflict(deliverers) or without_address(deliverers, self._settings)
        if found and found != self._conflict:
            log.warning("%s", found)
        self._conflict = found

    def _look(self, connection: Connection, moment: datetime) -> list[Result]:
        """A look that breaks is an alert of its own, and ends none."""
        try:
            found = look(connection, self._settings, self._since, moment)
        except TerminalError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says it
            return [Result("watch", "feeds", "critical", "error", str(error), None, moment)]
        return [*found, Result("watch", "feeds", "critical", "passed", None, None, moment)]

    def _migrate(self) -> None:
        """The tables may be missing where the database was away when we started."""
        try:
            migrate(self._dsn, self._settings)
            with impatient(self._dsn, APPLICATION) as connection:
                sync_calendars(connection, self._settings)
        except TransientError:
            raise
        except CandleworksError as error:
            log.warning("%s", error)
        self._migrated = True
