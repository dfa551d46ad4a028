"""The vendor's REST interface when it does not answer as hoped: nothing is taken for filled that was not fetched."""

import logging
import socket
from datetime import timedelta

import pytest
from pydantic import SecretStr

from candleworks.database.engine import Engine
from candleworks.errors import UsageError
from candleworks.gapfill.report import FillReport
from candleworks.model.trades import microseconds_of
from candleworks.simulate import running_simulator
from candleworks.vendor.bars import BarWindow, VendorBars
from candleworks.vendor.client import VendorAwayError
from candleworks.vendor.credits import Credits
from tests.gapfill.filling import MINUTE, NOON, SYMBOLS, Platform

GAP = (NOON, NOON + 3 * MINUTE)
SYMBOL = "BTC/USD"
OUT_OF_CREDITS = (
    "You have run out of API credits for the current minute. 9 API credits were used, with the current limit being 8."
)

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def series(*bars: str) -> str:
    return f'{{"meta": {{}}, "status": "ok", "values": [{", ".join(bars)}]}}'


def bar(minute: int, **values: object) -> str:
    texts = {"open": "2", "high": "3", "low": "1", "close": "2", "volume": "5"} | values
    fields = "".join(f', "{name}": "{value}"' for name, value in texts.items())
    return f'{{"datetime": "{NOON + minute * MINUTE:%Y-%m-%d %H:%M:%S}"{fields}}}'


def failure(report: FillReport) -> str:
    """The reason of the one failure."""
    (fill,) = report.fills
    assert (fill.outcome, report.complete, report.closed) == ("failed", False, [])
    assert fill.error
    return fill.error


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 500}, "failed with status 500 (Something went wrong): try again later."),
        ({"status": 500, "in_body": True}, "failed with status 500 (Something went wrong): try again later."),
        ({"status": 400, "in_body": True}, "refused with status 400 (Something went wrong): see its documentation."),
        ({"status": 403}, "refused with status 403 (Something went wrong): see its documentation."),
        ({"status": 200, "message": "<html>"}, "/time_series gave no readable response (JSONDecodeError): check the"),
        ({"status": 200, "message": '{"values": 1}'}, "does not have the documented shape: try again later."),
        ({"status": 200, "message": "[]"}, "does not have the documented shape: try again later."),
        ({"status": 200, "message": series('{"open": "1"}')}, "has a bar without a minute ({'open': '1'}): try again"),
        ({"status": 200, "message": series(bar(1, high="x"))}, "the bar of 2026 12:01 cannot be used, its values"),
        ({"status": 200, "message": series(bar(1, low="nan"))}, "it has invalid prices"),
        ({"status": 200, "message": series(bar(1, low="0"))}, "it has invalid prices"),
        ({"status": 200, "message": series(bar(1, high="1.5"))}, "its prices contradict each other"),
        ({"status": 200, "message": series(bar(1, volume="-1"))}, "its volume is invalid"),
    ],
)
def test_an_error_never_fills_a_gap(platform: Platform, fault: dict[str, object], words: str) -> None:
    """The reason is kept, and the next run fetches what is missing."""
    gap = platform.book(*GAP, symbol=SYMBOL)
    platform.vendor.running.fail_bars(**fault)  # type: ignore[arg-type]
    reason = failure(platform.fill())
    assert words.replace("2026 12:01", f"{NOON + MINUTE:%Y-%m-%d %H:%M}") in reason
    assert platform.rows("SELECT outcome, reason, attempts FROM gap_fills") == [("failed", reason, 1)]
    assert (platform.filled(), platform.notices) == ([], [])
    assert platform.fill().complete
    assert platform.rows("SELECT outcome, bars, reason, attempts FROM gap_fills") == [("filled", 3, None, 2)]
    assert (platform.filled(), platform.bar_ticks()) == ([gap], 12)


def test_good_bars_of_a_bad_answer_are_stored(platform: Platform) -> None:
    """One unusable bar keeps the gap open, not the others out; bars nobody asked for are left out."""
    platform.book(*GAP, symbol=SYMBOL)
    answer = series(bar(2), bar(1, high="x"), bar(0, volume="7"), bar(0, volume="9"), bar(9))
    platform.vendor.running.fail_bars(200, answer)
    failure(platform.fill())
    assert platform.candles(SYMBOL, NOON, NOON + 9 * MINUTE) == {
        NOON: (2.0, 3.0, 1.0, 2.0, 7.0),
        NOON + 2 * MINUTE: (2.0, 3.0, 1.0, 2.0, 5.0),
    }


def test_a_failure_is_tried_again_at_once(platform: Platform) -> None:
    """As often as configured, a credit each time."""
    platform.book(*GAP, symbol=SYMBOL)
    platform.vendor.running.fail_bars(500, times=2)
    report = platform.fill(platform.with_rest(attempts=3))
    assert (report.complete, report.credits) == (True, 3)


def test_one_symbol_the_vendor_refuses_leaves_the_others_alone(platform: Platform) -> None:
    """The gap stays open for it; it is asked for once in a run, however many gaps it has."""
    gap = platform.book(*GAP)
    for days in range(1, 4):
        platform.book(GAP[0] - timedelta(days=10 * days), GAP[1] - timedelta(days=10 * days), "NOPE/USD")
    report = platform.fill()
    assert [fill.outcome for fill in report.fills if fill.symbol == "NOPE/USD"] == ["failed"] * 3
    assert report.credits == len(SYMBOLS) + 1
    assert platform.filled() == [gap]


def test_a_vendor_that_is_away_is_not_asked_for_ever(platform: Platform) -> None:
    """After three symbols in a row the run ends with one line."""
    for symbol in ("A/USD", "B/USD", "C/USD", "D/USD"):
        platform.book(*GAP, symbol=symbol)
    report = platform.fill(platform.settings.model_copy(update={"rest_url": "http://127.0.0.1:9"}))
    assert len(report.fills) == 3
    assert report.stopped == "The vendor failed for 3 symbols in a row: run fill-gaps again later."
    assert "(ConnectError): check the network and CANDLEWORKS_REST_URL" in str(report.fills[0].error)


def test_429_waits_and_goes_on(platform: Platform) -> None:
    """For as long as the vendor says, by status or in the body."""
    platform.book(*GAP, symbol=SYMBOL)
    platform.vendor.running.fail_bars(429, OUT_OF_CREDITS, retry_after=1)
    platform.vendor.running.fail_bars(429, OUT_OF_CREDITS, retry_after=1, in_body=True)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        platform.connection.execute("DELETE FROM candleworks.rest_pauses")

    report = platform.fill(wait=wait)
    assert (report.complete, report.credits) == (True, 3)
    assert len(waits) == 2
    assert all(0 < seconds <= 1 for seconds in waits)


def test_429_for_the_day_ends_the_run_with_one_line(platform: Platform) -> None:
    """What was not asked for is no failure, and waits for another day, or until somebody has the vendor asked again."""
    platform.book(*GAP)
    platform.vendor.running.fail_bars(429, OUT_OF_CREDITS.replace("current minute", "day"))
    report = platform.fill()
    assert report.fills == []
    assert str(report.stopped).startswith("The vendor grants no more API credits today: it said 'You have run out")
    assert not report.complete
    assert not platform.fill().complete
    assert platform.fill(retry_credits=True).complete


def test_the_days_budget_ends_the_run_and_the_next_day_goes_on(platform: Platform) -> None:
    """What was filled by then stays filled."""
    platform.book(*GAP)
    settings = platform.with_rest(credits_per_day=2)
    assert platform.fill(settings).stopped
    assert [row[2] for row in platform.outcomes()] == ["filled", "filled"]
    platform.connection.execute("UPDATE candleworks.rest_credits SET at = at - interval '1 day'")
    assert platform.fill(settings).complete
    assert len(platform.filled()) == 1


def test_a_refused_key_ends_the_run(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    """At once, and the key stands in no message and in no log."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx")  # commands in the same process keep it silent
    platform.book(*GAP)
    with running_simulator(refused_keys=("s3cret-key",)) as strict:
        changes = {"api_key": SecretStr("s3cret-key"), "rest_url": strict.rest_url}
        report = platform.fill(platform.settings.model_copy(update=changes))
    assert str(report.stopped).startswith(f"{strict.rest_url} rejected the API key (**apikey** parameter is incorrect")
    assert report.credits == 1
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.server")]
    assert any("/time_series" in line for line in said)
    assert "s3cret" not in f"{said} {report}"


def test_the_vendor_is_not_asked_without_a_key(platform: Platform) -> None:
    """One line says what to do."""
    with pytest.raises(UsageError) as refused:
        platform.fill(platform.settings.model_copy(update={"rest_url": "https://api.twelvedata.com"}))
    assert str(refused.value) == (
        "https://api.twelvedata.com requires a key: set TWELVEDATA_API_KEY, or CANDLEWORKS_REST_URL to the URL that"
        " `candleworks simulate` prints."
    )


def test_an_answer_that_never_comes_is_given_up(platform: Platform) -> None:
    """After the configured time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = platform.with_rest(timeout_seconds=1).model_copy(
            update={"rest_url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        )
        bars = VendorBars(settings, Credits(platform.connection, settings))
        with pytest.raises(VendorAwayError, match=r"gave no readable response \(ReadTimeout\)"):
            bars.read(SYMBOL, BarWindow(microseconds_of(NOON), microseconds_of(NOON + MINUTE)))
