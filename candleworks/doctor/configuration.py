"""Checks of the configuration: what has no value yet that production needs."""

import difflib
from collections.abc import Iterator
from urllib.parse import urlsplit

from candleworks.doctor.findings import Finding, Patient, note, warning
from candleworks.processes import STOP_WITH_STDIN
from candleworks.settings import CONFIG_VARIABLE, ENVIRONMENT, Rest

PREFIX = "CANDLEWORKS_"
OTHER_VARIABLES = (
    CONFIG_VARIABLE,
    STOP_WITH_STDIN,
    "CANDLEWORKS_EVENT_WEBHOOK",
    "CANDLEWORKS_GRAFANA_ALERTS_PAUSED",
    "CANDLEWORKS_GRAFANA_ALERT_WEBHOOK",
    "CANDLEWORKS_GRAFANA_ALERT_REPEAT",
)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def variables(patient: Patient) -> Iterator[Finding]:
    known = [*ENVIRONMENT, *OTHER_VARIABLES]
    for name in sorted(set(patient.environment) - set(known)):
        if name.startswith(PREFIX):
            nearest = difflib.get_close_matches(name, known, 1)
            advice = f"set {nearest[0]}, or unset it" if nearest else "unset it"
            yield warning(f"The environment variable {name} is not read.", f"Correct its name: {advice}.")


def feed_source(patient: Patient) -> Iterator[Finding]:
    if patient.settings.simulated:
        yield note("The feed is simulated: its prices are made up.", "Set TWELVEDATA_API_KEY for live data.")


def credits(patient: Patient) -> Iterator[Finding]:  # noqa: A001 - the vendor's word
    rest, default = patient.settings.rest, Rest()
    given = {"credits_per_minute", "credits_per_day"} & rest.model_fields_set
    if patient.settings.api_key is not None and not given:
        yield note(
            f"API credits are limited to {default.credits_per_minute} a minute and {default.credits_per_day} a day, as"
            " in the vendor's free plan.",
            "If your plan has more, set rest.credits_per_minute and rest.credits_per_day in candleworks.yaml.",
        )


def retention(patient: Patient) -> Iterator[Finding]:
    kept = patient.settings.storage.retention_days
    forever = [name for name in ("stocks_real_time", "quotes") if getattr(kept, name) is None]
    if forever:
        yield note(
            f"Ticks are kept for ever ({' and '.join(forever)}): the database grows.",
            "Set storage.retention_days in candleworks.yaml, or watch the disk; candles are always kept.",
        )


def page_url(patient: Patient) -> Iterator[Finding]:
    if patient.settings.alerts.page_url is None:
        yield warning(
            f"alerts.page_url is not set: notifications link to {patient.settings.page_url}, which opens only on this"
            " machine.",
            "Set alerts.page_url in candleworks.yaml to the address at which others reach the page.",
        )


def disabled_checks(patient: Patient) -> Iterator[Finding]:
    if disabled := patient.settings.quality.disabled:
        yield note(
            f"These checks do not run: {', '.join(sorted(disabled))}.",
            "Remove them from quality.disabled in candleworks.yaml to run them.",
        )


def prefect_password(patient: Patient) -> Iterator[Finding]:
    """Whoever reaches Prefect's API can run any command through a work pool. `up` makes a password of its own."""
    environment = patient.environment
    if environment.get("PREFECT_SERVER_API_AUTH_STRING") or environment.get("PREFECT_API_AUTH_STRING"):
        return
    named = environment.get("PREFECT_API_URL")
    host = urlsplit(named).hostname if named else None
    if host and host not in LOOPBACK and not environment.get("PREFECT_API_KEY"):
        yield warning(
            f"Prefect's server on {host} is used without a password: whoever reaches it can run programs on the"
            " workers.",
            "Set PREFECT_SERVER_API_AUTH_STRING=USER:PASSWORD where it runs, and PREFECT_API_AUTH_STRING to the same"
            " here.",
        )
