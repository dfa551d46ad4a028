"""The budget of API credits, which all processes share through the database."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.settings import Rest, Settings
from candleworks.vendor.credits import Credits, NoCreditsTodayError

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


class Clockwork:
    """Waits without waiting: moves what was spent, and the vendor's pauses, into the past."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        past = timedelta(seconds=seconds + 1)
        self.connection.execute("UPDATE candleworks.rest_credits SET at = at - %s", [past])
        self.connection.execute("UPDATE candleworks.rest_pauses SET until = until - %s", [past])


@pytest.fixture
def clockwork(dsn: str) -> Iterator[Clockwork]:
    with connect(dsn) as connection:
        yield Clockwork(connection)


def limited(settings: Settings, **limits: object) -> Settings:
    return settings.model_copy(update={"rest": Rest.model_validate(limits)})


def spent(connection: Connection) -> int:
    row = connection.execute("SELECT coalesce(sum(used), 0)::int FROM candleworks.rest_credits").fetchone()
    assert row
    return int(row[0])


def test_a_minute_has_so_many_credits(connection: Connection, settings: Settings, clockwork: Clockwork) -> None:
    """One more waits until the first ones are a minute old."""
    budget = Credits(connection, limited(settings, credits_per_minute=3, credits_per_day=None), clockwork.wait)
    for _ in range(3):
        budget.spend()
    assert clockwork.waits == []
    budget.spend()
    assert len(clockwork.waits) == 1
    assert 50 < clockwork.waits[0] <= 61
    assert budget.spent == spent(connection) == 4


def test_a_day_has_so_many_credits(connection: Connection, settings: Settings, clockwork: Clockwork) -> None:
    """One more is refused with one line; yesterday's do not count."""
    budget = Credits(connection, limited(settings, credits_per_minute=9, credits_per_day=3), clockwork.wait)
    budget.spend()
    connection.execute("UPDATE candleworks.rest_credits SET at = at - interval '1 day'")
    budget.spend(3)
    with pytest.raises(NoCreditsTodayError) as refused:
        budget.spend()
    assert str(refused.value) == (
        "Today's API credits are used up (3 of 3): wait for the next UTC day, or raise rest.credits_per_day to the"
        " limit of your plan."
    )


def test_processes_share_a_budget(dsn: str, settings: Settings) -> None:
    """Eight that ask at once get as many credits as there are, and no more."""
    limits = limited(settings, credits_per_minute=1_000, credits_per_day=50)

    def spend_all(_: int) -> int:
        with connect(dsn) as connection:
            budget = Credits(connection, limits)
            with suppress(NoCreditsTodayError):
                while True:
                    budget.spend()
            return budget.spent

    with ThreadPoolExecutor(8) as executor:
        assert sum(executor.map(spend_all, range(8))) == 50


def test_accounts_have_budgets_of_their_own(connection: Connection, settings: Settings) -> None:
    """Another key, or another address, is another account; neither can be read from the table."""
    limits = limited(settings, credits_per_minute=1, credits_per_day=1)
    for change in ({"api_key": "key-one"}, {"api_key": "key-two"}, {"rest_url": "http://127.0.0.1:1"}):
        Credits(connection, Settings.model_validate(limits.model_dump() | change)).spend()
    accounts = connection.execute("SELECT account FROM candleworks.rest_credits").fetchall()
    assert len(set(accounts)) == 3
    assert "key" not in str(accounts)


def test_the_vendors_word_counts_for_everybody(
    connection: Connection, settings: Settings, clockwork: Clockwork
) -> None:
    """A refusal pauses all processes until the next minute of the clock, or for as long as the vendor says."""
    budget = Credits(connection, limited(settings), clockwork.wait)
    other = Credits(clockwork.connection, limited(settings), clockwork.wait)
    budget.pause(None, "slow down", whole_day=False)
    other.spend()
    (until_next_minute,) = clockwork.waits
    assert 0 < until_next_minute <= 61
    budget.pause(5, "slow down", whole_day=False)
    other.spend()
    assert 4 < clockwork.waits[1] <= 5


@pytest.mark.parametrize("credits_per_day", [None, 800])
def test_the_vendors_word_counts_for_the_day_until_somebody_lifts_it(
    connection: Connection, settings: Settings, credits_per_day: int | None
) -> None:
    """The message has the vendor's words instead of a count of ours that says the contrary, and the way out."""
    budget = Credits(connection, limited(settings, credits_per_day=credits_per_day))
    budget.pause(None, "You have run out of API credits for the day", whole_day=True)
    for _ in range(2):
        with pytest.raises(NoCreditsTodayError) as refused:
            budget.spend()
        assert re.fullmatch(
            r"The vendor grants no more API credits today: it said 'You have run out of API credits for the day' at"
            r" \d\d:\d\d UTC\. The next request is made after \d{4}-\d\d-\d\d 00:00 UTC, or now with"
            r" `candleworks fill-gaps --retry-credits`\.",
            str(refused.value),
        )
    assert budget.lift_pause()
    budget.spend()
    assert not budget.lift_pause()
