"""What flows return, and what they show in Prefect."""

import asyncio
import json
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.logging import disable_run_logger

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError, TransientError
from candleworks.gapfill.report import FillReport, GapFill
from candleworks.imports.importer import import_file
from candleworks.model.notices import Notice
from candleworks.settings import Settings
from candleworks.storage.exports import ExportRelation
from candleworks.storage.gaps import Gap
from flows.audit_candles import audit_candles
from flows.backfill import backfill
from flows.check_quality import check_quality
from flows.export_data import export_data
from flows.import_ticks import import_ticks
from flows.maintain_storage import maintain_storage
from flows.refresh_candles import refresh_candles
from flows.stream_ticks import stream_ticks
from flows.support import artifacts as shown_in_prefect
from flows.support.artifacts import ProgressArtifact, emit, emit_repairs, table
from flows.support.results import fill_sentence
from flows.support.run_states import REFUSED
from flows.support.stream_run import Refusal, refusal
from tests.gapfill.filling import vendor

TICKS = "time,symbol,price,day_volume\n2026-01-05 15:00:00+00,AAPL,10,100\n2026-01-05 15:00:30+00,AAPL,11,200\n"
MISSING = "nothere.csv does not exist: check the path."
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
        assert refresh_candles.fn().is_completed()
        assert refresh_candles.fn().message == "Candles changed: none"
    assert connection.execute("SELECT count(*) FROM candles_1m").fetchone() == (1,)


@only_postgres
@pytest.mark.usefixtures("harness")
def test_an_import_says_what_it_stored(here: Path, connection: Connection) -> None:
    """All of it, a part, nothing new, nothing at all: each has its own state, and its message counts every file."""
    (here / "ticks.csv").write_text(TICKS)
    (here / "partly.csv").write_text(TICKS.replace("AAPL", "MSFT") + "2026-01-05 15:01:00+00,MSFT,,300\n")
    (here / "local.csv").write_text(TICKS.replace("+00", ""))

    def done(*names: str, **options: Any) -> tuple[str, str, str]:
        state = import_ticks(list(names), **options, return_state=True)
        return state.type.value, state.name or "", state.message or ""

    assert done("ticks.csv", dry_run=True) == ("COMPLETED", "DryRun", "ticks.csv: 2 of 2 rows would be stored")
    assert done("ticks.csv") == ("COMPLETED", "Completed", "ticks.csv: 2 of 2 rows stored")
    known = "ticks.csv: imported before as ticks.csv; nothing was stored (set `again` to import it again)"
    assert done("ticks.csv") == ("COMPLETED", "NothingNew", known)
    again = ("COMPLETED", "NothingNew", "ticks.csv: 0 of 2 rows stored, 2 duplicates")
    assert done("ticks.csv", again=True) == again
    assert done("partly.csv")[:2] == ("COMPLETED", "PartlyRejected")
    kind, name, message = done("local.csv")
    assert (kind, name) == ("FAILED", "Rejected")
    assert message.startswith("local.csv: 0 of 2 rows stored, 2 rejected: ")
    assert "timezone" in message
    assert done("local.csv")[:2] == ("FAILED", "Rejected")
    kind, name, message = done("ticks.csv", "nothere.csv", "partly.csv")
    assert (kind, name) == ("FAILED", "Failed")
    assert message == (
        "1 of 3 files could not be imported (nothere.csv does not exist: check the path);"
        " 2 of 3 files were imported before"
    )
    rows = json.loads(next(each for each in reversed(artifacts("import-ticks")) if each.type == "table").data)
    assert [row["problem"] for row in rows] == [
        "imported before",
        "nothere.csv does not exist: check the path.",
        "imported before",
    ]
    assert connection.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (4,)
    assert next(each for each in reversed(artifacts("import-candles"))).data == 100.0


@only_postgres
@pytest.mark.usefixtures("harness", "here")
def test_long_runs_show_what_they_are_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks and maintenance tell how far they are; short runs leave nothing behind."""
    monkeypatch.setattr("flows.support.artifacts.UPDATE_SECONDS", 60)
    check_quality(suite="system", return_state=True)
    maintain_storage(return_state=True)
    keys = ("check-quality-progress", "maintain-storage-progress")
    assert [artifacts(key) for key in keys] == [[], []]
    monkeypatch.setattr("flows.support.artifacts.UPDATE_SECONDS", 0)
    check_quality(suite="system", return_state=True)
    maintain_storage(return_state=True)
    for key in keys:
        (shown,) = artifacts(key)
        assert shown.data == 100.0
        assert "(now" not in shown.description
        done, total = re.findall(r"[0-9]+", shown.description)
        assert done == total


@only_postgres
@pytest.mark.usefixtures("harness")
def test_an_import_is_taken_back_from_the_form(here: Path, connection: Connection) -> None:
    """With a state of its own; a file that was not imported fails the run."""
    (here / "ticks.csv").write_text(TICKS)
    import_ticks(["ticks.csv"])
    state = import_ticks(["ticks.csv"], undo=True, dry_run=True, return_state=True)
    assert (state.name, state.message) == ("DryRun", "ticks.csv: would be undone, 2 ticks removed")
    state = import_ticks(["ticks.csv"], undo=True, return_state=True)
    assert (state.name, state.message) == ("Undone", "ticks.csv: undone, 2 ticks removed")
    state = import_ticks(["ticks.csv", "nothere.csv"], undo=True, return_state=True)
    assert (state.name, state.message) == (
        "Failed",
        "2 of 2 files could not be undone: ticks.csv was undone already: there is nothing left of its import.",
    )
    assert connection.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (0,)


@only_postgres
@pytest.mark.usefixtures("harness", "here")
def test_what_a_person_has_to_mend_fails_a_run_with_a_sentence_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where Prefect would repeat the run: that cannot help."""
    state = import_ticks(["nothere.csv"], return_state=True)
    assert (state.name, state.message) == ("Failed", MISSING)
    state = import_ticks(["nothere.csv"], columns="time", return_state=True)
    assert state.message == "--columns time is not a mapping: write it like time=Date,bid=Bid,ask=Ask."
    Path("candleworks.yaml").write_text("feeds: 7\n")
    repeated = audit_candles(return_state=True)
    assert repeated.is_failed()
    assert repeated.message
    assert repeated.message.startswith("candleworks.yaml")
    assert not [each for each in caplog.records if each.exc_info]


@only_postgres
@pytest.mark.usefixtures("harness")
def test_an_audit_shows_progress_and_differences(here: Path, settings: Settings, connection: Connection) -> None:
    """A wrong candle of yesterday is repaired, and everybody who listens is told."""
    yesterday = clock.now() - timedelta(days=1)
    (here / "ticks.csv").write_text(f"time,symbol,price,day_volume\n{yesterday:%Y-%m-%d} 15:00:00+00,AAPL,10,100\n")
    import_file(connection, settings, here / "ticks.csv")
    connection.execute("UPDATE candleworks.stored_1m SET high = 12 WHERE symbol = 'AAPL'")
    state = audit_candles(days=1, return_state=True)
    assert state.message
    assert re.fullmatch(r"(\d+) wrong candles in 1 day, \1 repaired", state.message)
    rows = [json.loads(each.data) for each in artifacts("audit-candles") if each.type == "table"]
    assert rows[0][0]["symbol"] == "AAPL"
    assert any(each.type == "progress" and each.data == 100.0 for each in artifacts("audit-candles"))


@only_postgres
@pytest.mark.usefixtures("harness", "here")
def test_an_audit_of_nothing_says_so() -> None:
    """A platform without ticks is not one whose candles are right."""
    state = audit_candles(days=1, return_state=True)
    assert state.is_completed()
    assert state.message
    assert state.message.startswith("Nothing was audited: no ticks are stored since ")


@only_postgres
@pytest.mark.usefixtures("harness", "here")
def test_maintenance_shows_what_it_did() -> None:
    """On an empty database nothing."""
    state = maintain_storage(return_state=True)
    assert (state.name, state.message) == ("Completed", "Nothing to drop or compress")
    assert json.loads(artifacts("maintain-storage")[-1].data) == []


def test_a_notice_becomes_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stable name, and a resource that automations can match."""
    emitted: list[Event] = []
    monkeypatch.setattr(shown_in_prefect, "emit_event", lambda **parts: emitted.append(parts))  # type: ignore[arg-type]
    emit(Notice("feed.gap-opened", "stocks/AAPL", {"reason": "dropped"}))
    emit_repairs(0, 3)
    emit_repairs(2, 3)
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

    monkeypatch.setattr("flows.support.artifacts.create_table_artifact", away)
    monkeypatch.setattr("flows.support.artifacts.create_progress_artifact", away)
    table("a-table", [{"a": 1}], "Rows")
    ProgressArtifact("progress", "done")(1, 2)
    assert [record.getMessage() for record in caplog.records] == ["An artifact could not be saved: refused"] * 2


@only_postgres
@pytest.mark.usefixtures("harness")
def test_checks_say_what_failed_and_where_to_look(
    here: Path, settings: Settings, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning per failure, a sentence as the state's message, and a page with every result and its links."""
    moment = clock.now() - timedelta(hours=1)
    (here / "ticks.csv").write_text(f"time,symbol,price,day_volume\n{moment:%Y-%m-%d %H:%M:%S}+00,AAPL,10,100\n")
    import_file(connection, settings, here / "ticks.csv")
    connection.execute("UPDATE candleworks.stored_1m SET high = 9 WHERE symbol = 'AAPL'")
    state = check_quality("candles", 24, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "ChecksFailed")
    assert state.message
    assert re.match(r"\d of \d checks failed: .*candle-audit \(AAPL\)", state.message)
    ours = [each for each in caplog.records if each.name == "candleworks.flows"]
    [audit] = [each.getMessage() for each in ours if "candle-audit of" in each.getMessage()]
    assert "failed: candle-audit of AAPL: " in audit
    assert {each.levelno for each in ours if " of AAPL: " in each.getMessage()} == {logging.WARNING}
    page = artifacts("check-quality")[-1].data
    assert "| failed | [candle-audit](http://127.0.0.1:8050/quality/candle-audit) | AAPL |" in page
    assert "| passed | " in page
    assert "[Chart](http://127.0.0.1:8050/)" in page
    assert "[Grafana](http://127.0.0.1:3000/)" in page


@only_postgres
@pytest.mark.usefixtures("harness")
def test_an_export_says_where_its_file_is(here: Path, settings: Settings, connection: Connection) -> None:
    """On the machine of the worker; a mistake is a sentence."""
    (here / "ticks.csv").write_text(TICKS)
    import_file(connection, settings, here / "ticks.csv")
    output = str(here / "out.csv")
    state = export_data(output, ExportRelation.TRADES, return_state=True)
    assert state.message
    assert state.message.startswith("2 rows of stocks_real_time, ")
    assert f"written to {output} on " in state.message
    assert (here / "out.csv").read_text().count("AAPL") == 2
    assert export_data(output, ExportRelation.TRADES, return_state=True).is_failed()


def test_gaps_that_were_filled_are_told_from_those_that_were_not() -> None:
    """The outcome of each symbol of a gap, not the length of the list."""
    gap = Gap(1, "stocks", None, clock.now(), clock.now(), "dropped")
    outcomes: list[Any] = ["filled", "filled", "empty", "failed"]
    report = FillReport([GapFill(gap, "AAPL", each, 1, None) for each in outcomes], credits=3)
    assert fill_sentence(report) == "2 of 4 gaps filled (3 API credits), 1 without trades at the vendor, 1 failed"
    assert fill_sentence(FillReport()) == "No gaps to fill"


@only_postgres
@pytest.mark.usefixtures("harness")
def test_loaded_history_is_reported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many bars there are, and what is not complete; nothing is requested when nothing is due."""
    (here / "candleworks.yaml").write_text("feeds: [{name: crypto, symbols: [BTC/USD, ETH/USD], backfill_days: 1}]")
    with vendor() as simulated:
        monkeypatch.setenv("CANDLEWORKS_REST_URL", simulated.running.rest_url)
        simulated.running.fail_bars(404, "unknown symbol", symbol="ETH/USD")
        state = backfill(return_state=True)
        assert state.is_failed()
        assert re.fullmatch(r"1 waiting, 1 refused; [\d,]+ bars, 2 names", state.message or "")
        assert "unknown symbol" in artifacts("backfill")[-1].data
        asked = simulated.running.stats()["bar_requests"]
        assert backfill(return_state=True).message == "Nothing to load"
        assert simulated.running.stats()["bar_requests"] == asked
        assert backfill(symbols=["ETH/USD"], days=1, return_state=True).is_completed()
