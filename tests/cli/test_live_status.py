"""What `up` tells about its feeds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candleworks import clock
from candleworks.cli.live_status import LiveStatus

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
TOTALS = "1,234 ticks stored, 5 rejected; 67 candles refreshed in the last minute"


class Screen:
    """A live status whose clock is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.seconds = 0.0
        self._capsys = capsys
        monkeypatch.setattr(clock, "monotonic", lambda: self.seconds)
        self.status = LiveStatus(["Feed        simulated"])

    def lines(self) -> list[str]:
        """What was printed since the last time."""
        return self._capsys.readouterr().out.splitlines()

    def show(self, seconds: float, *feeds: dict[str, Any], notes: tuple[str, ...] = ()) -> list[str]:
        """Show a state at this second."""
        self.seconds = seconds
        self.status.show(
            {"ticks_stored": 1234, "rejected_ticks": 5, "candles_refreshed": 67, "feeds": list(feeds)}, notes
        )
        return self.lines()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Screen:
    return Screen(monkeypatch, capsys)


def feed(window: int, ticks: int, before: int = 0, name: str = "crypto", **changes: Any) -> dict[str, Any]:
    """A feed's newest ten seconds, the `window`-th since the start, and how many ticks the ten before had."""
    known = {
        "feed": name,
        "at": START + timedelta(seconds=10 * window),
        "ticks": ticks,
        "ticks_before": before,
        "lag_ms_p50": 56.4,
        "lag_ms_p99": 103.6,
        "spool_depth": 0,
        "last_symbol": "BTC/USD",
        "last_price": 77431.5,
        "last_time": START,
    }
    return known | changes


def test_lines_come_every_ten_seconds_and_at_the_end(screen: Screen) -> None:
    """The heading first; nothing while there is nothing to say."""
    with screen.status:
        assert screen.lines() == ["Feed        simulated"]
        assert screen.show(0) == []
        assert screen.show(1, feed(0, 0)) == []
        first = screen.show(2, feed(0, 20))
        assert first[0].startswith("crypto: 20.0 ticks/s, last BTC/USD 77431.5 at 15:00:00, lag p50 56 ms p99 104 ms")
        assert first[1:] == [TOTALS]
        assert screen.show(11, feed(0, 200)) == []
        assert len(screen.show(12, feed(1, 10, before=200), notes=("stocks has stopped: no key",))) == 3
        assert screen.show(13, feed(1, 30, before=200), notes=("stocks has stopped: no key",)) == []
    assert screen.lines()[1:] == [TOTALS, "stocks has stopped: no key"]


def test_the_rate_counts_through_the_windows(screen: Screen) -> None:
    """Counts start over every ten seconds; the rate is that of the last ten seconds all the same."""
    with screen.status:
        screen.show(0, feed(0, 95))
        screen.show(1, feed(0, 100))
        screen.show(2, feed(1, 5, before=110))
        (line, _) = screen.show(11, feed(1, 95, before=110))
    assert line.startswith("crypto: 10.5 ticks/s")


def test_a_feed_that_stopped_has_no_rate_left(screen: Screen) -> None:
    """Its newest window stays as it was."""
    with screen.status:
        screen.show(0, feed(0, 10))
        screen.show(1, feed(0, 20))
        screen.show(2, feed(0, 30))
        (line, _) = screen.show(30, feed(0, 30))
    assert line.startswith("crypto: 0.0 ticks/s")


def test_what_a_window_does_not_know_yet_is_remembered(screen: Screen) -> None:
    """The lag of the window before; without any, a dash."""
    unknown = {"lag_ms_p50": None, "lag_ms_p99": None}
    with screen.status:
        screen.show(0, feed(0, 10))
        screen.show(1, feed(0, 20))
        (remembered, _) = screen.show(11, feed(1, 0, before=30, **unknown))
        assert remembered.endswith("lag p50 56 ms p99 104 ms")
        new = {"name": "stocks", "last_time": None, **unknown}
        lines = screen.show(21, feed(2, 0, **unknown), feed(2, 0, **new))
    assert lines[1] == "stocks: - ticks/s, last none yet, lag p50 - p99 -"


def test_without_a_streaming_feed_there_is_a_line_a_minute(screen: Screen) -> None:
    """As while the only feed is paused; the first minute counts from the start."""
    note = "ingest crypto has stopped: paused in Prefect"
    with screen.status:
        screen.lines()
        assert screen.show(1, notes=(note,)) == [TOTALS, note]
        assert screen.show(60, notes=(note,)) == []
        assert screen.show(61, notes=(note,)) == [TOTALS, note]
    screen.lines()


def test_every_change_is_printed_at_once(screen: Screen) -> None:
    """A reason that comes, another one, and its end; what stays the same waits for its turn."""
    with screen.status:
        screen.show(0, feed(0, 10))
        screen.show(1, feed(0, 20))
        assert screen.show(2, feed(0, 30)) == []
        assert screen.show(3, feed(0, 40), notes=("paused",))[1:] == [TOTALS, "paused"]
        assert screen.show(4, feed(0, 50), notes=("cancelled",))[1:] == [TOTALS, "cancelled"]
        assert screen.show(5, feed(0, 60), notes=("cancelled",)) == []
        assert screen.show(6, feed(0, 70))[1:] == [TOTALS]
    screen.lines()


def test_a_database_that_does_not_answer_is_said(screen: Screen) -> None:
    """Once, and at least every minute."""
    with screen.status:
        screen.lines()
        screen.status.show(None, [])
        assert screen.lines() == ["The database is not responding."]
        screen.status.show(None, [])
        assert screen.lines() == []
