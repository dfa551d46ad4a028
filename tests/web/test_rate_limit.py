"""Token buckets of addresses."""

from hypothesis import given
from hypothesis import strategies as st

from candleworks.web import rate_limit
from candleworks.web.rate_limit import MAX_ADDRESSES, RateLimit


class Clock:
    """Seconds that a test decides."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_and_then_so_many_per_second() -> None:
    """A pause fills the bucket again, and no more than that; the wait is until the next token."""
    now = Clock()
    limit = RateLimit(2, 3, now)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now.seconds += 0.5
    assert [limit.take("a"), limit.take("a")] == [0, 0.5]
    now.seconds += 1_000
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_addresses_do_not_share() -> None:
    """One that sends too much leaves the others alone."""
    limit = RateLimit(1, 1, Clock())
    assert [limit.take("a"), limit.take("a"), limit.take("b")] == [0, 1, 0]


def test_memory_is_bounded() -> None:
    """The addresses that were seen longest ago are forgotten."""
    limit = RateLimit(1, 1, Clock())
    for number in range(MAX_ADDRESSES):
        limit.take(str(number))
    limit.take("0")
    limit.take("new")
    assert (limit.take("0") > 0, limit.take("1")) == (True, 0)
    assert len(limit._buckets) == MAX_ADDRESSES  # noqa: SLF001 - what is bounded


@given(st.lists(st.floats(0, 3), max_size=80))
def test_no_window_has_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    """Whenever requests come."""
    now, allowed = Clock(), []
    limit = RateLimit(2, 5, now)
    for pause in pauses:
        now.seconds += pause
        if limit.take("a") == 0:
            allowed.append(now.seconds)
    for first, start in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= 5 + 2 * (allowed[last] - start) + 1e-6


def test_time_is_that_of_the_clock() -> None:
    """By default."""
    assert RateLimit(1, 1)._now is rate_limit.clock.monotonic  # noqa: SLF001 - the default
