"""How long ticks wait for company."""

import pytest

from candleworks import clock
from candleworks.feed.flush_interval import COMMITS_PER_BATCH, REMEMBERED_COMMITS, Pace


class Hands:
    """The monotonic clock, moved by the test."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def commit(self, pace: Pace, seconds: float, error: Exception | None = None) -> None:
        with pace.commit():
            self.seconds += seconds
            if error is not None:
                raise error


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock, "monotonic", lambda: hands.seconds)
    return hands


def test_fast_commits_shorten_the_wait(hands: Hands) -> None:
    """A commit of 5 ms is worth waiting for 30."""
    pace = Pace(0.1, 0.1)
    for _ in range(10 * REMEMBERED_COMMITS):
        hands.commit(pace, 0.005)
    assert pace.seconds == pytest.approx(0.005 * COMMITS_PER_BATCH, rel=0.01)


def test_one_slow_commit_counts_as_one(hands: Hands) -> None:
    """A checkpoint hardly slows down what comes after it."""
    pace = Pace(0.1, 0.03)
    hands.commit(pace, 60)
    assert pace.seconds == pytest.approx(0.03 + (0.1 - 0.03) / REMEMBERED_COMMITS)


def test_the_wait_is_the_longest_while_a_commit_hangs(hands: Hands) -> None:
    """What comes while the database is away is put together to few batches."""
    pace = Pace(0.1)
    with pace.commit():
        assert pace.seconds == 0.02
        hands.seconds += 10
        assert pace.seconds == 0.1
    assert pace.seconds < 0.03


def test_a_commit_that_fails_ends_too(hands: Hands) -> None:
    """What comes after it does not wait for it."""
    pace = Pace(0.1)
    with pytest.raises(OSError, match="gone"):
        hands.commit(pace, 1, OSError("gone"))
    hands.seconds += 10
    assert pace.seconds < 0.03


def test_no_wait_is_longer_than_what_is_configured() -> None:
    """From the first batch on."""
    assert Pace(0.001).seconds == 0.001
