"""The blocks and automations of candleworks, as code; existing ones are updated and keep their history."""

import os
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import ActionTypes, DoNothing, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from candleworks.settings import load_settings

WEBHOOK = "CANDLEWORKS_EVENT_WEBHOOK"
BLOCK = "candleworks-webhook"
EVENTS = {
    "candleworks: feed refused": ("candleworks.feed.refused", "candleworks.feed.*"),
    "candleworks: quality failed": ("candleworks.quality.failed", "candleworks.quality.*"),
    "candleworks: quality resolved": ("candleworks.quality.resolved", "candleworks.quality.*"),
}


def automate() -> None:
    """Create or update one automation for each of `EVENTS`, which posts to CANDLEWORKS_EVENT_WEBHOOK if that is set.

    Whether it is enabled, and actions that were added in Prefect, are kept.
    """
    address = os.environ.get(WEBHOOK)
    with get_client(sync_client=True) as client:
        block = _save_block(address) if address else _saved_block(client)
        for name, (event, resource) in EVENTS.items():
            action = _post(block, event) if block and address else DoNothing()
            _save(client, _automation(name, event, resource), action, block)


def _save(client: SyncPrefectClient, wanted: AutomationCore, action: ActionTypes, block: UUID | None) -> None:
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted.model_copy(update={"actions": [action]}))
        return
    actions = _with_added(action, found[0].actions, block)
    wanted = wanted.model_copy(update={"actions": actions, "enabled": found[0].enabled})
    if _facts(wanted) != _facts(found[0]):
        Automation(**wanted.model_dump(), id=found[0].id).update()


def _with_added(action: ActionTypes, found: Sequence[ActionTypes], block: UUID | None) -> list[ActionTypes]:
    """Return our action and those added in Prefect; without a webhook ours is left out if there are others."""
    added = [
        each
        for each in found
        if not isinstance(each, DoNothing)
        and not (isinstance(each, SendNotification) and each.block_document_id == block)
    ]
    ours = [] if added and isinstance(action, DoNothing) else [action]
    return [*ours, *added]


def _facts(automation: AutomationCore) -> object:
    """Return what is compared: Prefect adds ids and defaults to a saved trigger."""
    trigger = automation.trigger.model_dump(include={"expect", "match", "posture", "threshold", "within"})
    return automation.description, trigger, automation.actions


def _saved_block(client: SyncPrefectClient) -> UUID | None:
    try:
        return client.read_block_document_by_name(BLOCK, CustomWebhookNotificationBlock.get_block_type_slug()).id
    except ObjectNotFound:
        return None


def _save_block(address: str) -> UUID:
    """Save the block; its URL is a secret, which Prefect encrypts and does not show."""
    block = CustomWebhookNotificationBlock(
        name=BLOCK,
        url="{{address}}",
        secrets={"address": address},
        method="POST",
        json_data={"event": "{{subject}}", "text": "{{body}}", "source": "candleworks"},
    )
    return UUID(str(block.save(BLOCK, overwrite=True)))


def _post(block: UUID, event: str) -> SendNotification:
    return SendNotification(
        block_document_id=block, subject=event, body="{{ event.resource.name }}: {{ event.payload }}"
    )


def _automation(name: str, event: str, resource: str) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=_description(event),
        trigger=EventTrigger(
            expect={event},
            match=ResourceSpecification({"prefect.resource.id": [resource]}),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[],
    )


def _description(event: str) -> str:
    does = (
        f"Posts {event} to the webhook block {BLOCK}."
        if os.environ.get(WEBHOOK)
        else f"Triggered by {event}, without an action yet: add one, or set {WEBHOOK} and deploy again."
    )
    page = load_settings().page_url
    return f"{does} Alerts and their notifications do not depend on this: {page}/quality"
