"""When gaps begin and end, as one run of a feed sees it."""

import logging
import time
from collections.abc import Callable

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.feed.gaps import GapRecorder
from candleworks.model.gaps import GapNote, Reason, Stop
from candleworks.model.notices import Notice
from candleworks.model.trades import MICROSECONDS
from candleworks.storage.feeds import save_gap_note as write_note

T = 1_800_000_000 * MICROSECONDS  # 2027-01-15T08:00:00Z
NOW = int(time.time()) - 100


class Recording:
    """A recorder that started, received a tick at T, and its notes and notices since then."""

    def __init__(self) -> None:
        self.notes: list[GapNote] = []
        self.notices: list[Notice] = []
        self.recorder = GapRecorder("twelvedata", self.notes.append, self.notices.append)
        self.recorder.started()
        self.recorder.close_gap(T)
        self.recorder.traffic(T, T)
        self.notes.clear()


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_a_gap_begins_with_the_last_tick(recording: Recording) -> None:
    """Later ones of the same second may be missing; a new connection ends it with the second after."""
    recording.recorder.traffic(T + 300_000, T)
    recording.recorder.open_gap("dropped")
    recording.recorder.close_gap(T + 9_400_000)
    assert recording.notes == [
        GapNote("opened", T, None, "dropped"),
        GapNote("closed", T + 10 * MICROSECONDS, None, "dropped"),
    ]
    assert [(notice.name, notice.subject, dict(notice.facts)) for notice in recording.notices] == [
        (
            "feed.gap-opened",
            "twelvedata",
            {"feed": "twelvedata", "symbol": None, "reason": "dropped", "started_at": "2027-01-15T08:00:00+00:00"},
        ),
        (
            "feed.gap-closed",
            "twelvedata",
            {"feed": "twelvedata", "symbol": None, "reason": "dropped", "ended_at": "2027-01-15T08:00:10+00:00"},
        ),
    ]


def test_a_quiet_connection_is_no_gap(recording: Recording) -> None:
    """What was sent some seconds before the last sign of life has arrived."""
    recording.recorder.traffic(T + 100 * MICROSECONDS)
    recording.recorder.open_gap("closed")
    assert recording.notes == [GapNote("opened", T + 95 * MICROSECONDS, None, "closed")]


def test_an_event_time_of_the_future_does_not_shorten_a_gap(recording: Recording) -> None:
    """The vendor's clock, or nonsense."""
    recording.recorder.traffic(T + MICROSECONDS, T + 3_600 * MICROSECONDS)
    recording.recorder.open_gap("dropped")
    assert recording.notes == [GapNote("opened", T, None, "dropped")]


def test_silence_is_a_gap_from_where_it_began(recording: Recording) -> None:
    """Though the connection gave signs of life since."""
    recording.recorder.traffic(T + 100 * MICROSECONDS)
    recording.recorder.open_gap("silent", T + 40 * MICROSECONDS + 700_000)
    assert recording.notes == [GapNote("opened", T + 40 * MICROSECONDS, None, "silent")]


def test_one_gap_at_a_time(recording: Recording) -> None:
    """A second reason while it is open changes nothing, and what is not open does not end."""
    recording.recorder.open_gap("dropped")
    recording.recorder.open_gap("silent")
    assert recording.recorder.open_reason == "dropped"
    recording.recorder.close_gap(T + MICROSECONDS)
    recording.recorder.close_gap(T + 2 * MICROSECONDS)
    assert [note.kind for note in recording.notes] == ["opened", "closed"]
    assert len(recording.notices) == 2
    assert recording.recorder.open_reason is None


def test_symbols_have_gaps_of_their_own(recording: Recording) -> None:
    """Beside each other and beside that of all; they end when the symbol speaks."""
    recording.recorder.open_symbol_gap("BTC/USD", T)
    recording.recorder.open_symbol_gap("ETH/USD", T + MICROSECONDS)
    recording.recorder.open_symbol_gap("BTC/USD", T + MICROSECONDS)
    recording.recorder.open_gap("dropped")
    assert recording.recorder.silent_symbols == {"BTC/USD", "ETH/USD"}
    recording.recorder.close_symbol_gap("BTC/USD", T + 5_500_000)
    recording.recorder.close_symbol_gap("AAPL", T)
    assert recording.recorder.silent_symbols == {"ETH/USD"}
    assert recording.notes == [
        GapNote("opened", T, "BTC/USD", "silent"),
        GapNote("opened", T + MICROSECONDS, "ETH/USD", "silent"),
        GapNote("opened", T, None, "dropped"),
        GapNote("closed", T + 5_500_000, "BTC/USD", "silent"),
    ]
    assert [notice.subject for notice in recording.notices] == [
        "twelvedata/BTC/USD",
        "twelvedata/ETH/USD",
        "twelvedata",
        "twelvedata/BTC/USD",
    ]


def test_slow_times_end_when_they_are_over_for_good(recording: Recording) -> None:
    """Not between two of them; the gap ends with the last."""
    recording.recorder.reading_paused(T + 10 * MICROSECONDS)
    recording.recorder.close_ended_overflow(T + 14 * MICROSECONDS)
    recording.recorder.reading_paused(T + 14 * MICROSECONDS)
    recording.recorder.close_ended_overflow(T + 19 * MICROSECONDS)
    assert recording.recorder.open_reason == "overflow"
    recording.recorder.close_ended_overflow(T + 20 * MICROSECONDS)
    assert recording.notes == [
        GapNote("opened", T, None, "overflow"),
        GapNote("closed", T + 15 * MICROSECONDS, None, "overflow"),
    ]


def test_whether_there_was_a_crash_only_the_database_knows(caplog: pytest.LogCaptureFixture) -> None:
    """A start notes its time, and the first tick closes what may be open; what happens before replaces it."""
    caplog.set_level(logging.INFO)
    notes: list[GapNote] = []
    notices: list[Notice] = []
    recorder = GapRecorder("twelvedata", notes.append, notices.append)
    recorder.started()
    assert (notes[0].kind, recorder.open_reason) == ("started", "crashed")
    recorder.close_gap(T)
    assert notes[1:] == [GapNote("closed", T + MICROSECONDS, None, "crashed")]
    assert (notices, caplog.records) == ([], [])

    recorder.started()
    recorder.open_gap("dropped")  # from when on, the database knows, too
    assert (notes[3], recorder.open_reason) == (GapNote("opened", None, None, "dropped"), "dropped")


@pytest.mark.parametrize("reason", ["dropped", "silent", "overflow"])
def test_gaps_are_said(recording: Recording, reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    """With the time; those that nothing else says, as warnings."""
    caplog.set_level(logging.DEBUG, "candleworks.feed.gaps")
    recording.recorder.open_gap(reason)
    recording.recorder.close_gap(T + MICROSECONDS)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "DEBUG" if reason == "dropped" else "WARNING",
            f"Feed twelvedata: recorded a gap ({reason}) from 2027-01-15T08:00:00+00:00.",
        ),
        ("INFO", f"Feed twelvedata: closed the gap ({reason}) at 2027-01-15T08:00:02+00:00."),
    ]


Gap = tuple[str | None, int, int | None, str]


@pytest.fixture
def booked(connection: Connection) -> Callable[..., list[Gap]]:
    """Writes notes, and returns the gaps: symbol, seconds since NOW of begin and end, reason."""

    def write_down(*notes: GapNote) -> list[Gap]:
        for note in notes:
            write_note(connection, "twelvedata", ["AAPL", "BTC/USD"], note)
        return connection.execute(
            "SELECT symbol, (extract(epoch FROM started_at) - %(t)s)::int, (extract(epoch FROM ended_at) - %(t)s)::int,"
            " reason FROM feed_gaps WHERE feed = 'twelvedata' ORDER BY id",
            {"t": NOW},
        ).fetchall()

    return write_down


def at(seconds: int) -> int:
    return (NOW + seconds) * MICROSECONDS


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
class TestTheStoredBook:
    """What becomes of the notes in the database."""

    def test_a_gap_is_opened_and_closed(self, booked: Callable[..., list[Gap]]) -> None:
        """A second opening is ignored, and so is a second end; it never ends before it began."""
        assert booked(
            GapNote("opened", at(1), None, "dropped"),
            GapNote("opened", at(2), None, "silent"),
            GapNote("opened", at(2), "BTC/USD", "silent"),
            GapNote("closed", at(5)),
            GapNote("closed", at(6)),
            GapNote("closed", at(0), "BTC/USD"),
        ) == [(None, 1, 5, "dropped"), ("BTC/USD", 2, 2, "silent")]

    def test_without_a_time_it_begins_with_the_last_stored_tick(
        self, booked: Callable[..., list[Gap]], connection: Connection
    ) -> None:
        """Of the feed's symbols, and of no bar."""
        tick(connection, "AAPL", 10)
        tick(connection, "BTC/USD", 20)
        tick(connection, "BTC/USD", 30, "bar")
        tick(connection, "OTHER", 40)
        assert booked(GapNote("opened", None, None, "damaged"), GapNote("closed", at(50))) == [
            (None, 20, 50, "damaged")
        ]

    def test_the_first_start_books_nothing(self, booked: Callable[..., list[Gap]], connection: Connection) -> None:
        """However old the ticks are that came from files."""
        tick(connection, "AAPL", 10)
        assert booked(GapNote("started", at(60)), GapNote("closed", at(61))) == []

    def test_a_start_after_a_crash_books_it(self, booked: Callable[..., list[Gap]], connection: Connection) -> None:
        """From the last stored tick."""
        mark(connection)
        tick(connection, "AAPL", 10)
        assert booked(GapNote("started", at(60)), GapNote("closed", at(61))) == [(None, 10, 61, "crashed")]

    def test_a_start_after_a_stop_books_no_crash(
        self, booked: Callable[..., list[Gap]], connection: Connection
    ) -> None:
        """The stop's own gap lasts until ticks come again."""
        mark(connection)
        tick(connection, "AAPL", 10)
        assert booked(
            GapNote("opened", at(10), None, "stopped"), GapNote("started", at(60)), GapNote("closed", at(61))
        ) == [(None, 10, 61, "stopped")]

    def test_a_stop_is_known_until_the_next_start(
        self, booked: Callable[..., list[Gap]], connection: Connection
    ) -> None:
        """Its time, its reason, and whether a person wanted it; the newest one counts, and another feed's stays."""
        ended, cancelled = Stop("its worker ended", deliberate=False), Stop("cancelled", deliberate=True)
        write_note(connection, "other", [], GapNote("stopped", at(5), stop=ended))
        for second, stop in ((10, ended), (20, cancelled)):
            booked(GapNote("stopped", at(second), stop=stop))
        stops = "SELECT feed, stopped_at = to_timestamp(%s), reason, deliberate FROM feed_stops ORDER BY 1"
        expected = [("other", False, "its worker ended", False), ("twelvedata", True, "cancelled", True)]
        assert connection.execute(stops, [NOW + 20]).fetchall() == expected
        booked(GapNote("started", at(60)))
        assert connection.execute(stops, [NOW]).fetchall() == [("other", False, "its worker ended", False)]

    @pytest.mark.parametrize("deliberate", [True, False])
    def test_after_a_deliberate_stop_silence_counts_from_the_start(
        self, booked: Callable[..., list[Gap]], connection: Connection, *, deliberate: bool
    ) -> None:
        """Its symbols are given time to tick again; a refused one stays refused, and other ends change nothing."""
        connection.execute(
            "INSERT INTO feed_symbols VALUES ('twelvedata', 'AAPL', 'streaming', NULL, to_timestamp(%(t)s)),"
            " ('twelvedata', 'NOPE', 'refused', 'not found', to_timestamp(%(t)s))",
            {"t": NOW},
        )
        booked(GapNote("stopped", at(20), stop=Stop("x", deliberate=deliberate)), GapNote("started", at(60)))
        since = "SELECT symbol, (extract(epoch FROM since) - %s)::int FROM feed_symbols ORDER BY 1"
        expected = [("AAPL", 60 if deliberate else 0), ("NOPE", 0)]
        assert connection.execute(since, [NOW]).fetchall() == expected

    def test_a_start_ends_what_symbols_missed_before(
        self, booked: Callable[..., list[Gap]], connection: Connection
    ) -> None:
        """The new run knows nothing of it, so nobody else would; another feed's stays."""
        mark(connection)
        write_note(connection, "other", ["BTC/USD"], GapNote("opened", at(5), "BTC/USD", "silent"))
        assert booked(
            GapNote("opened", at(5), "BTC/USD", "silent"), GapNote("opened", at(10), None, "stopped"),
            GapNote("started", at(60)),
        ) == [("BTC/USD", 5, 60, "silent"), (None, 10, None, "stopped")]  # fmt: skip
        others = "SELECT count(*) FROM feed_gaps WHERE feed = 'other' AND ended_at IS NULL"
        assert connection.execute(others).fetchone() == (1,)


def tick(connection: Connection, symbol: str, second: int, origin: str = "twelvedata") -> None:
    connection.execute(
        "SELECT candleworks.prepare_ticks(to_timestamp(%(at)s), to_timestamp(%(at)s))", {"at": NOW + second}
    )
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, received_at, origin)"
        " VALUES (to_timestamp(%s), %s, 1, now(), %s)",
        [NOW + second, symbol, origin],
    )


def mark(connection: Connection) -> None:
    """The feed has run before."""
    connection.execute("INSERT INTO candleworks.feed_marks VALUES ('twelvedata', gen_random_uuid(), 1)")
