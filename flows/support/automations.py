"""The blocks and automations of candleworks, as code: saved anew at each deployment, never twice."""

import os
from datetime import timedelta

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

WEBHOOK = "CANDLEWORKS_EVENT_WEBHOOK"
BLOCK = "candleworks-webhook"
EVENTS = {
    "candleworks: feed refused": ("candleworks.feed.refused", "candleworks.feed.*"),
    "candleworks: quality failed": ("candleworks.quality.failed", "candleworks.quality.*"),
    "candleworks: quality resolved": ("candleworks.quality.resolved", "candleworks.quality.*"),
}


def automate() -> None:
    """Post events to the address in CANDLEWORKS_EVENT_WEBHOOK; without one the automations go."""
    address = os.environ.get(WEBHOOK)
    wanted = _automations(_save_block(address)) if address else []
    with get_client(sync_client=True) as client:
        for name in EVENTS:
            for old in client.read_automations_by_name(name):
                client.delete_automation(old.id)
    for automation in wanted:
        automation.create()


def _save_block(address: str) -> str:
    block = CustomWebhookNotificationBlock(
        name=BLOCK,
        url=address,
        method="POST",
        json_data={"event": "{{subject}}", "text": "{{body}}", "source": "candleworks"},
    )
    return str(block.save(BLOCK, overwrite=True))


def _automations(block_id: str) -> list[Automation]:
    return [
        Automation(
            name=name,
            description=f"Posts {event} to the webhook block {BLOCK}.",
            trigger=EventTrigger(
                expect={event},
                match=ResourceSpecification({"prefect.resource.id": [resource]}),
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[
                SendNotification(
                    block_document_id=block_id,
                    subject=event,
                    body="{{ event.resource.name }}: {{ event.payload }}",
                )
            ],
        )
        for name, (event, resource) in EVENTS.items()
    ]
