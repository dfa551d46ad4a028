"""The webhook of events: its URL is a secret, which Prefect keeps as one."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator

import httpx
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import get_current_settings

from flows.support.automations import BLOCK, WEBHOOK, automate
from tests.acceptance.orchestra import receiver

SECRET, EARLIER = "s3cret-of-the-webhook", "s3cret-in-clear-text"


@pytest.fixture
def deployed(harness: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:  # noqa: ARG001
    """The webhook and its automations on a real server, deployed after a version that kept the URL in clear text."""
    with receiver() as (address, received):
        earlier = CustomWebhookNotificationBlock(name=BLOCK, url=f"{address}{EARLIER}", json_data={"text": "{{body}}"})
        earlier.save(BLOCK, overwrite=True)
        monkeypatch.setenv(WEBHOOK, f"{address}{SECRET}")
        automate()
        yield received


def test_a_notification_arrives(deployed: list[dict[str, object]]) -> None:
    """At the URL, with the subject and the text."""
    block = CustomWebhookNotificationBlock.load(BLOCK)
    assert isinstance(block, CustomWebhookNotificationBlock)
    block.notify("stale-feed", subject="candleworks.quality.failed")
    assert deployed == [{"event": "candleworks.quality.failed", "text": "stale-feed", "source": "candleworks"}]


@pytest.mark.usefixtures("deployed")
def test_the_interface_of_prefect_does_not_show_the_url() -> None:
    """Neither in the block nor in the automations."""
    api = get_current_settings().api.url
    for kind in ("block_documents", "automations"):
        found = httpx.post(f"{api}/{kind}/filter", json={}).json()
        assert found
        assert "s3cret" not in json.dumps(found)


@pytest.mark.usefixtures("deployed")
def test_the_database_of_prefect_has_the_url_encrypted() -> None:
    """Whoever reads a copy of it does not get the URL."""
    address = get_current_settings().server.database.connection_url
    assert address
    path = address.get_secret_value().partition("///")[2]
    with contextlib.closing(sqlite3.connect(path)) as database:
        lines = list(database.iterdump())
    assert any(BLOCK in line for line in lines)
    assert [line for line in lines if SECRET in line] == []
    events = 'INSERT INTO "events"'  # of the earlier version, which Prefect deletes after twelve hours
    assert [line for line in lines if EARLIER in line and not line.startswith(events)] == []
