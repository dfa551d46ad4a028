"""Notices of the library as Prefect events; docs/reference/events.md lists them."""

from prefect.events import emit_event

from candleworks.model.notices import Notice

PREFIX = "candleworks."


def tell(notice: Notice) -> None:
    """Emit the notice; never waits, also while Prefect's server is away."""
    kind = notice.name.partition(".")[0]
    emit_event(
        event=PREFIX + notice.name,
        resource={
            "prefect.resource.id": f"{PREFIX}{kind}.{notice.subject}",
            "prefect.resource.name": notice.subject,
        },
        payload=dict(notice.facts),
    )


def tell_repairs(repaired: int, found: int) -> None:
    if repaired:
        tell(Notice("candles.repaired", "audit", {"repaired": repaired, "differences": found}))
