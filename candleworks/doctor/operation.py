"""Checks of what runs: feeds, gaps, checks and notifications."""

from collections.abc import Iterator

from candleworks.alerts.recipients import LOG
from candleworks.alerts.routing import START, conflict, own_recipients, routed_recipients
from candleworks.doctor.findings import Finding, Patient, note, required, warning
from candleworks.wording import counted

AWAY_SECONDS = 60
SHOWN = 5


def recipients(patient: Patient) -> Iterator[Finding]:
    own, operation = own_recipients(patient.settings), patient.operation
    routed = routed_recipients(operation.deliverers) if operation else own or [LOG]
    if routed == [LOG] and not own:
        yield warning(
            "Nobody is notified: alerts go to the log.",
            "Set CANDLEWORKS_ALERT_URLS, then run `candleworks alerts test`.",
        )
    if operation and own and not set(own) <= set(routed):
        yield note(
            f"{', '.join(own)} in this shell: only a process that delivers uses them.", f"To deliver to them, {START}."
        )
    if operation and (sentence := conflict(operation.deliverers)):
        yield warning(sentence, "")


def delivery(patient: Patient) -> Iterator[Finding]:
    operation = required(patient.operation)
    if operation.pending and "nothing delivers" in operation.pending:
        yield warning(operation.pending, "")
    elif not any(deliverer.running for deliverer in operation.deliverers):
        yield warning("Nothing delivers notifications.", f"To deliver them, {START}.")


def feeds(patient: Patient) -> Iterator[Finding]:
    operation = required(patient.operation)
    states = {state.feed: state for state in operation.feeds}
    for name in (feed.name for feed in patient.settings.feeds):
        state = states.get(name)
        if state is None or state.report_age_seconds is None:
            yield warning(
                f"The feed {name} has never run.", f"Run `candleworks up` or `candleworks ingest --feed {name}`."
            )
        elif state.stopped_at is not None:
            yield note(
                f"The feed {name} was stopped by an operator ({state.stop_reason}).", "Start it when it is wanted."
            )
        elif state.report_age_seconds > AWAY_SECONDS:
            yield warning(
                f"The feed {name} is not running: its last sign of life is {state.report_age_seconds:,.0f} s old.",
                f"{_start(name)} Its log says why it ended.",
            )


def gaps(patient: Patient) -> Iterator[Finding]:
    for state in required(patient.operation).feeds:
        if state.gaps_open:
            yield warning(
                f"The feed {state.feed} has {counted(state.gaps_open, 'open gap', 'open gaps')}: ticks are missing"
                " until it streams again.",
                "Look at `candleworks status`, and start the feed.",
            )
        if state.gaps_unfilled:
            yield note(
                f"The feed {state.feed} has {counted(state.gaps_unfilled, 'unfilled gap', 'unfilled gaps')}.",
                f"Run `candleworks fill-gaps --feed {state.feed}`.",
            )


def checks(patient: Patient) -> Iterator[Finding]:
    operation = required(patient.operation)
    if not operation.results:
        yield note("No check has run yet.", "Run `candleworks check`, or `candleworks up`, which schedules it.")
    failing = [result for result in operation.results if result.status != "passed"]
    for result in failing[:SHOWN]:
        yield warning(
            f"The check {result.check} of {result.subject} has {_outcome(result.status)}: {result.observed}.",
            f"Look at {patient.settings.page_url}/quality/{result.check}, which says what to do.",
        )
    if len(failing) > SHOWN:
        yield warning(f"{len(failing) - SHOWN:,} more checks did not pass.", "Run `candleworks check`.")


def _outcome(status: str) -> str:
    return "failed" if status == "failed" else "ended with an error"


def _start(feed: str) -> str:
    return f"Run `candleworks up` or `candleworks ingest --feed {feed}`."
