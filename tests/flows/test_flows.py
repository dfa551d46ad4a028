"""What flows return, and what they show in Prefect."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.logging import disable_run_logger

from candleworks import clock
from candleworks.errors import TerminalError, TransientError
from candleworks.history.importer import import_file
from candleworks.model.notices import Notice
from candleworks.settings import Settings
from candleworks.storage.connection import Connection
from candleworks.storage.engine import Engine
from flows.audit_candles import audit_candles
from flows.import_ticks import import_ticks
from flows.maintain_storage import maintain_storage
from flows.refresh_candles import refresh_candles
from flows.stream_ticks import stream_ticks
from flows.support import events
from flows.support.names import REFUSED
from flows.support.reports import Progress, table
from flows.support.streaming import Refusal, refusal

TICKS = "time,symbol,price,day_volume\n2026-01-05 15:00:00+00,AAPL,10,100\n2026-01-05 15:00:30+00,AAPL,11,200\n"
only_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def artifacts(key: str) -> list[Any]:
    async def read() -> list[Any]:
        async with get_client() as client:
            found = await client.read_artifacts()
        return sorted((each for each in found if each.key == key), key=lambda each: each.created)

    return asyncio.run(read())


@pytest.mark.usefixtures("here")
def test_a_refresh_says_how_many_candles_changed(connection: Connection) -> None:
    """Of a tick that came by no way of ours, on either engine."""
    connection.execute("SELECT candleworks.prepare_ticks(now(), now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, received_at, origin)"
        " VALUES (date_trunc('second', now()), 'AAPL', 10, now(), 'live')"
    )
    with disable_run_logger():
        refresh_candles.fn()
        assert refresh_candles.fn() == {}
    assert connection.execute("SELECT count(*) FROM candles_1m").fetchone() == (1,)


@only_postgres
@pytest.mark.usefixtures("harness")
def test_an_import_shows_its_files_and_fails_when_one_is_unusable(here: Path, connection: Connection) -> None:
    """As a table; the other files are stored all the same."""
    (here / "ticks.csv").write_text(TICKS)
    assert import_ticks([str(here / "ticks.csv")]) == {"files": 1, "stored": 2}
    with pytest.raises(TerminalError, match=r"1 of 2 files could not be imported: .*nothing\.csv"):
        import_ticks([str(here / "ticks.csv"), str(here / "nothing.csv")])
    assert connection.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (2,)
    rows = [json.loads(each.data) for each in artifacts("import-ticks") if each.type == "table"]
    assert [row["stored"] for row in rows[0]] == [2]
    assert rows[1][0]["problem"] == "imported before"
    assert "nothing.csv" in rows[1][1]["problem"]


@only_postgres
@pytest.mark.usefixtures("harness")
def test_an_audit_shows_progress_and_differences(here: Path, settings: Settings, connection: Connection) -> None:
    """A wrong candle of yesterday is repaired, and everybody who listens is told."""
    yesterday = clock.now() - timedelta(days=1)
    (here / "ticks.csv").write_text(f"time,symbol,price,day_volume\n{yesterday:%Y-%m-%d} 15:00:00+00,AAPL,10,100\n")
    import_file(connection, settings, here / "ticks.csv")
    connection.execute("UPDATE candleworks.stored_1m SET high = 12 WHERE symbol = 'AAPL'")
    found = audit_candles(days=1)
    assert found["differences"] == found["repaired"] > 0
    rows = [json.loads(each.data) for each in artifacts("audit-candles") if each.type == "table"]
    assert rows[0][0]["symbol"] == "AAPL"
    assert any(each.type == "progress" and each.data == 100.0 for each in artifacts("audit-candles"))


@only_postgres
@pytest.mark.usefixtures("harness", "here")
def test_maintenance_shows_what_it_did() -> None:
    """On an empty database nothing."""
    assert maintain_storage(return_state=True).is_completed()
    assert [json.loads(each.data) for each in artifacts("maintain-storage")] == [[]]


def test_a_notice_becomes_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stable name, and a resource that automations can match."""
    emitted: list[Event] = []
    monkeypatch.setattr(events, "emit_event", lambda **parts: emitted.append(parts))  # type: ignore[arg-type]
    events.tell(Notice("feed.gap-opened", "stocks/AAPL", {"reason": "dropped"}))
    events.tell_repairs(0, 3)
    events.tell_repairs(2, 3)
    resource = {"prefect.resource.id": "candleworks.feed.stocks/AAPL", "prefect.resource.name": "stocks/AAPL"}
    assert emitted == [
        {"event": "candleworks.feed.gap-opened", "resource": resource, "payload": {"reason": "dropped"}},
        {
            "event": "candleworks.candles.repaired",
            "resource": {"prefect.resource.id": "candleworks.candles.audit", "prefect.resource.name": "audit"},
            "payload": {"repaired": 2, "differences": 3},
        },
    ]


def test_what_nobody_can_mend_by_repeating_is_refused() -> None:
    """Terminal errors become a state that is not restarted; others stay failures, which are."""
    refused = asyncio.run(refuse(TerminalError("The key is wrong.")))
    assert (refused.state.name, refused.state.message, refused.state.is_failed()) == (
        REFUSED,
        "The key is wrong.",
        True,
    )
    with pytest.raises(TransientError):
        asyncio.run(refuse(TransientError("The database is away.")))


def test_an_unknown_feed_is_refused_with_the_names_of_those_there_are(here: Path) -> None:
    """Not with the words about a second run."""
    (here / "candleworks.yaml").write_text("feeds: [{name: stocks, symbols: [AAPL]}, {name: coins, symbols: [ETH]}]")
    state = asyncio.run(stream_ticks.fn("abc"))
    message = "There is no feed 'abc' in the configuration: choose one of stocks, coins."
    assert (state.name, state.message) == (REFUSED, message)


async def refuse(error: Exception) -> Refusal:
    async with refusal("x") as refused:
        raise error
    return refused


def test_artifacts_are_not_worth_a_failed_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While Prefect's server is away they are left out, with a warning."""
    import httpx  # noqa: PLC0415 - beside its only use

    def away(*_: object, **__: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("flows.support.reports.create_table_artifact", away)
    monkeypatch.setattr("flows.support.reports.create_progress_artifact", away)
    table("a-table", [{"a": 1}], "Rows")
    Progress("progress", "done")(1, 2)
    assert [record.getMessage() for record in caplog.records] == ["Prefect did not take an artifact: refused"] * 2
